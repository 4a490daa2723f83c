"""What the peer's models share: pre-norm blocks with top-2 experts in plain PyTorch, tuned for CPU.

Shapes and arithmetic equal mmoe's with `--moe top2`. Where PyTorch has several ways, the fastest measured one
stands: element-wise work is fused by `torch.compile`, the experts' products run in place on slices of
preallocated tensors, and rows move by gathers only, never by scattered adds.

Axes: B images, L tokens an image, T = B·L tokens, D width, F hidden width, E experts, K choices a token,
R = T·K rows sorted by expert.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BALANCE_WEIGHT = 0.01
INIT_STD = 0.02


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of the blocks; every second block (1, 3, 5 …) has the experts."""

    layers: int
    width: int
    heads: int
    experts: int = 8
    choices: int = 2

    causal: ClassVar[bool] = False

    @property
    def hidden(self) -> int:
        return 4 * self.width

    @property
    def tokens(self) -> int:
        """Tokens of one image or text."""
        raise NotImplementedError

    def token_weights(self) -> int:
        """Weights of the blocks' matrix products that one token meets."""
        mlp = 2 * self.width * self.hidden
        moe_blocks = self.layers // 2
        weights = self.layers * 4 * self.width**2 + (self.layers - moe_blocks) * mlp
        return weights + moe_blocks * (self.experts * self.width + self.choices * mlp)

    def attention_flops(self) -> float:
        """Operations of attention's scores and their products with V, over the pairs of tokens that see each other."""
        pairs = self.tokens * (self.tokens + 1) / 2 if self.causal else self.tokens**2
        return self.layers * 4 * pairs * self.width


# GELU in its tanh form, written as u · sigmoid(2z) since tanh(z) = 2 sigmoid(2z) − 1: the same function, but the
# vectorized exp costs half of the vectorized tanh.
GELU_SCALE = 2 * (2 / torch.pi) ** 0.5
GELU_CUBIC = 0.044715


def gelu(u: Tensor) -> Tensor:
    return u * torch.sigmoid(GELU_SCALE * u * (1 + GELU_CUBIC * u * u))


fused_gelu = torch.compile(gelu, dynamic=False)


@torch.compile(dynamic=False)
def fused_gelu_backward(grad: Tensor, u: Tensor) -> Tensor:
    square = u * u
    s = torch.sigmoid(GELU_SCALE * u * (1 + GELU_CUBIC * square))
    return grad * (s + u * s * (1 - s) * GELU_SCALE * (1 + 3 * GELU_CUBIC * square))


@torch.compile(dynamic=False)
def sum_of_choices(rows: Tensor, position: Tensor, choices: int) -> Tensor:
    return rows[position].view(-1, choices, rows.shape[1]).sum(1)


@torch.compile(dynamic=False)
def weighted_sum_of_choices(
    rows: Tensor, position: Tensor, weights: Tensor, residual: Tensor
) -> Tensor:
    chosen = rows[position].view(*weights.shape, rows.shape[1])
    return residual + (chosen * weights[..., None]).sum(1).to(residual.dtype)


@torch.compile(dynamic=False)
def weighted_sum_backward(
    grad: Tensor, rows: Tensor, position: Tensor, order: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    choices = weights.shape[1]
    rows_grad = grad[order // choices] * weights.reshape(-1)[order][:, None]
    chosen = rows[position].view(*weights.shape, rows.shape[1])
    return rows_grad.to(rows.dtype), (chosen * grad[:, None]).sum(-1)


class Dispatch(torch.autograd.Function):
    """`rows[r] = x[order[r] // K]`: the tokens' rows sorted by expert.

    Autograd's own backward would be a scattered add; each token's K rows are known, so theirs is a gather.
    """

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, position: Tensor, choices: int) -> Tensor:
        ctx.save_for_backward(position)
        ctx.choices = choices
        return x.index_select(0, order // choices)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (position,) = ctx.saved_tensors
        return sum_of_choices(grad, position, ctx.choices), None, None, None


class Combine(torch.autograd.Function):
    """`residual[t] + Σ_k weights[t, k] · rows[position[t·K + k]]`."""

    @staticmethod
    def forward(
        ctx, rows: Tensor, order: Tensor, position: Tensor, weights: Tensor, residual: Tensor
    ) -> Tensor:
        ctx.save_for_backward(rows, order, position, weights)
        return weighted_sum_of_choices(rows, position, weights, residual)

    @staticmethod
    def backward(ctx, grad: Tensor):
        rows, order, position, weights = ctx.saved_tensors
        rows_grad, weights_grad = weighted_sum_backward(grad, rows, position, order, weights)
        return rows_grad, None, None, weights_grad, grad


class ExpertFeedForward(torch.autograd.Function):
    """Each expert's two-layer perceptron on its contiguous rows.

    Slicing and stacking under autograd would copy activations and fill E gradient tensors a weight; here every
    product writes its slice.
    """

    @staticmethod
    def forward(ctx, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, counts: list[int]):
        u = x.new_empty(x.shape[0], w1.shape[1])
        y = torch.empty_like(x)
        for e, (x_e, u_e) in enumerate(zip(x.split(counts), u.split(counts))):
            torch.addmm(b1[e], x_e, w1[e].t(), out=u_e)
        h = fused_gelu(u)
        for e, (h_e, y_e) in enumerate(zip(h.split(counts), y.split(counts))):
            torch.addmm(b2[e], h_e, w2[e].t(), out=y_e)
        ctx.save_for_backward(x, w1, w2, u, h)
        ctx.counts = counts
        return y

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, w1, w2, u, h = ctx.saved_tensors
        counts = ctx.counts
        w1_grad, b1_grad = torch.empty_like(w1), w1.new_empty(w1.shape[:2])
        w2_grad, b2_grad = torch.empty_like(w2), w2.new_empty(w2.shape[:2])
        h_grad, x_grad = torch.empty_like(h), torch.empty_like(x)
        slices = zip(grad.split(counts), h.split(counts), h_grad.split(counts))
        for e, (grad_e, h_e, h_grad_e) in enumerate(slices):
            torch.mm(grad_e, w2[e], out=h_grad_e)
            torch.mm(grad_e.t(), h_e, out=w2_grad[e])
            torch.sum(grad_e, 0, out=b2_grad[e])
        u_grad = fused_gelu_backward(h_grad, u)
        slices = zip(u_grad.split(counts), x.split(counts), x_grad.split(counts))
        for e, (u_grad_e, x_e, x_grad_e) in enumerate(slices):
            torch.mm(u_grad_e, w1[e], out=x_grad_e)
            torch.mm(u_grad_e.t(), x_e, out=w1_grad[e])
            torch.sum(u_grad_e, 0, out=b1_grad[e])
        return x_grad, w1_grad, b1_grad, w2_grad, b2_grad, None


class MixtureOfExperts(nn.Module):
    """Dropless top-K routing: softmax over all experts, chosen probabilities renormalized."""

    def __init__(self, config: Config):
        super().__init__()
        experts, d, hidden = config.experts, config.width, config.hidden
        self.choices = config.choices
        self.gate = nn.Linear(d, experts, bias=False)
        self.fc1_weight = nn.Parameter(torch.randn(experts, hidden, d) * INIT_STD)
        self.fc1_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.fc2_weight = nn.Parameter(torch.randn(experts, d, hidden) * INIT_STD)
        self.fc2_bias = nn.Parameter(torch.zeros(experts, d))

    def route(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All probabilities [T, E], the chosen experts' weights [T, K] and numbers [T, K]; in float32 always."""
        with torch.autocast("cpu", enabled=False):
            probabilities = torch.softmax(self.gate(u).float(), dim=-1)
        weights, experts = probabilities.topk(self.choices, dim=-1)
        return probabilities, weights / weights.sum(-1, keepdim=True), experts

    def forward(self, u: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Output [T, D] with the residual added, and the balance loss E Σ_e f_e P_e without its weight."""
        probabilities, weights, experts = self.route(u)
        flat = experts.reshape(-1)
        order = flat.argsort(stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(order.numel())
        load = torch.bincount(flat, minlength=probabilities.shape[1])
        shares = load.to(probabilities.dtype) / flat.numel()
        balance = probabilities.shape[1] * (shares * probabilities.mean(0)).sum()

        # Autocast passes over functions with a backward of their own.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else u.dtype
        rows = Dispatch.apply(u.to(dtype), order, position, self.choices)
        weights_and_biases = (self.fc1_weight, self.fc1_bias, self.fc2_weight, self.fc2_bias)
        rows = ExpertFeedForward.apply(
            rows, *(parameter.to(dtype) for parameter in weights_and_biases), load.tolist()
        )
        return Combine.apply(rows, order, position, weights, residual), balance

    def one_token(self, u: Tensor, residual: Tensor) -> Tensor:
        """`forward` of a single row without gradients: nothing to sort, each chosen expert is two products."""
        _, weights, experts = self.route(u)
        for weight, e in zip(weights[0].tolist(), experts[0].tolist()):
            hidden = F.gelu(F.linear(u, self.fc1_weight[e], self.fc1_bias[e]), approximate="tanh")
            output = F.linear(hidden, self.fc2_weight[e], self.fc2_bias[e])
            residual = residual.add(output, alpha=weight)
        return residual


class Block(nn.Module):
    """Pre-norm attention; what follows it differs in the two subclasses."""

    def __init__(self, config: Config):
        super().__init__()
        d = config.width
        self.tokens, self.heads, self.causal = config.tokens, config.heads, config.causal
        self.norm1 = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The state after attention and its norm, both [T, D]."""
        shape = (-1, self.tokens, 3, self.heads, x.shape[1] // self.heads)
        q, k, v = self.qkv(self.norm1(x)).view(shape).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        mixed = mixed.transpose(1, 2).reshape(x.shape)
        h = x + self.proj(mixed)
        return h, self.norm2(h)


class DenseBlock(Block):
    def __init__(self, config: Config):
        super().__init__(config)
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)
        self.compute = torch.compile(self.compute, dynamic=False)

    def compute(self, x: Tensor) -> Tensor:
        h, u = self.attend(x)
        return h + self.fc2(gelu(self.fc1(u)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.compute(x), None


class MoEBlock(Block):
    def __init__(self, config: Config):
        super().__init__(config)
        self.moe = MixtureOfExperts(config)
        # Compiled up to the routing: the experts' row counts change with every batch.
        self.attend = torch.compile(self.attend, dynamic=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        h, u = self.attend(x)
        return self.moe(u, residual=h)


def initialize(model: nn.Module) -> None:
    """Normal weights of deviation 0.02, biases of zero; the experts have theirs already."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=INIT_STD)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class Preset:
    """A model to time: its configuration, the batch, and for each arithmetic the share of PyTorch's own square
    product below which the peer is no fair opponent."""

    config: Config
    batch: int
    needed_share: dict[str, float]
