"""mmoe's GPT with experts in PyTorch: GPT-2's blocks, every second one with a mixture of experts.

Axes: B texts, L tokens a text, T = B·L tokens, D width, H heads, V vocabulary.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import BALANCE_WEIGHT, INIT_STD, Block, Config, DenseBlock, MoEBlock, Preset, initialize

@dataclass(frozen=True, kw_only=True)
class GPTConfig(Config):
    context: int
    vocabulary: int

    causal: ClassVar[bool] = True

    @property
    def tokens(self) -> int:
        return self.context

    def forward_flops(self) -> float:
        """Operations of one text of `context` tokens: 2 × the weights of the matrix products that a token meets, the
        head among them, plus attention's; look-ups, norms and activations are not counted (as `ModelCosts`)."""
        weights = self.token_weights() + self.vocabulary * self.width
        return 2 * weights * self.tokens + self.attention_flops()


# Compiled, softmax and its gradient are a pass each over the logits [T, V].
@torch.compile(dynamic=False)
def next_token_loss(x: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(x, head), targets)


class GPT(nn.Module):
    """Tokens → embedding + positions → blocks → norm → head, which is the embedding's weight."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.randn(config.context, config.width) * INIT_STD)
        self.blocks = nn.ModuleList(
            MoEBlock(config) if index % 2 else DenseBlock(config) for index in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        initialize(self)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of targets [T] after tokens [B, L], and the balance losses."""
        x = (self.embedding(tokens) + self.positions).view(-1, self.config.width)
        balance = x.new_zeros(())
        for block in self.blocks:
            x, loss = block(x)
            if loss is not None:
                balance = balance + loss
        return next_token_loss(self.norm(x), self.embedding.weight, targets) + BALANCE_WEIGHT * balance

    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        """Made-up tokens [B, L] and the targets [T]."""
        config = self.config
        tokens = torch.randint(config.vocabulary, (batch, config.context + 1))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].reshape(-1)


class Generator:
    """Continues one text greedily, with the keys and values of all layers kept."""

    def __init__(self, model: GPT):
        self.model = model
        config = model.config
        shape = (config.layers, 1, config.heads, config.context, config.width // config.heads)
        self.keys = torch.zeros(shape, dtype=model.embedding.weight.dtype)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def attend(self, index: int, block: Block, x: Tensor) -> tuple[Tensor, Tensor]:
        """`Block.attend` of new tokens [N, D], which see all earlier ones."""
        count, start, end = x.shape[0], self.length, self.length + x.shape[0]
        shape = (1, count, 3, block.heads, x.shape[1] // block.heads)
        q, k, v = block.qkv(block.norm1(x)).view(shape).permute(2, 0, 3, 1, 4)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, start:end], values[:, :, start:end] = k, v
        # Either a whole prompt from the start or one token, which sees everything.
        mixed = F.scaled_dot_product_attention(
            q, keys[:, :, :end], values[:, :, :end], is_causal=count > 1
        )
        h = x + block.proj(mixed.transpose(1, 2).reshape(x.shape))
        return h, block.norm2(h)

    def next_token(self, tokens: Tensor) -> Tensor:
        """The likeliest token [1] after `tokens` [N]: the prompt, or the last token found."""
        model, end = self.model, self.length + len(tokens)
        x = model.embedding(tokens) + model.positions[self.length : end]
        for index, block in enumerate(model.blocks):
            h, u = self.attend(index, block, x)
            if isinstance(block, DenseBlock):
                x = h + block.fc2(F.gelu(block.fc1(u), approximate="tanh"))
            elif len(tokens) == 1:
                x = block.moe.one_token(u, residual=h)
            else:
                x, _ = block.moe(u, residual=h)
        self.length = end
        return F.linear(model.norm(x[-1:]), model.embedding.weight).argmax(-1)

    # Compiled parts would be compiled anew for every length.
    @torch.compiler.set_stance("force_eager")
    @torch.inference_mode()
    def generate(self, prompt: Tensor, count: int) -> tuple[list[int], float, float]:
        """`count` tokens after the prompt [N], and the seconds for the prompt and for what came after it."""
        start = time.perf_counter()
        self.length = 0
        token = self.next_token(prompt)
        ready = time.perf_counter()
        found = [token.item()]
        while len(found) < count:
            token = self.next_token(token)
            found.append(token.item())
        return found, ready - start, time.perf_counter() - ready


PRESETS = {
    "gpt-tiny": Preset(
        GPTConfig(layers=4, width=128, heads=4, context=128, vocabulary=256, experts=4),
        8,
        {"float32": 0.5, "bf16": 0.3},
    ),
    "gpt-small": Preset(
        GPTConfig(layers=6, width=384, heads=6, context=256, vocabulary=50_257),
        8,
        {"float32": 0.75, "bf16": 0.5},
    ),
}
