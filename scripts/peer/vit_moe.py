"""mmoe's vision transformer in PyTorch.

Axes: B images, L tokens an image, T = B·L tokens, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import BALANCE_WEIGHT, INIT_STD, Config, DenseBlock, MoEBlock, Preset, initialize


@dataclass(frozen=True, kw_only=True)
class ViTConfig(Config):
    image: int
    patch: int
    classes: int
    channels: int = 3

    @property
    def tokens(self) -> int:
        return (self.image // self.patch) ** 2

    @property
    def patch_values(self) -> int:
        return self.channels * self.patch**2

    def forward_flops(self) -> float:
        """Operations of one image: 2 × the weights of the matrix products that a token meets, plus attention
        scores and their products with V; look-ups, norms and activations are not counted (as `ModelCosts`)."""
        weights = self.patch_values * self.width + self.token_weights()
        return 2 * (weights * self.tokens + self.classes * self.width) + self.attention_flops()


class VisionTransformer(nn.Module):
    """Patches → embedding → positions → blocks → norm → mean over tokens → head."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Linear(config.patch_values, config.width)
        self.positions = nn.Parameter(torch.randn(config.tokens, config.width) * INIT_STD)
        self.blocks = nn.ModuleList(
            MoEBlock(config) if index % 2 else DenseBlock(config) for index in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)
        initialize(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, classes] and the sum of the balance losses."""
        config = self.config
        batch, side, patch = images.shape[0], config.image // config.patch, config.patch
        patches = images.view(batch, config.channels, side, patch, side, patch)
        patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(-1, config.patch_values)
        x = self.embedding(patches).view(batch, config.tokens, config.width) + self.positions
        x = x.view(-1, config.width)
        balance = x.new_zeros(())
        for block in self.blocks:
            x, loss = block(x)
            if loss is not None:
                balance = balance + loss
        pooled = self.norm(x).view(batch, config.tokens, config.width).mean(1)
        return self.head(pooled), balance

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits, balance = self(images)
        return F.cross_entropy(logits, labels) + BALANCE_WEIGHT * balance

    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        """Made-up images and their labels."""
        config = self.config
        images = torch.randn(batch, config.channels, config.image, config.image)
        return images, torch.arange(batch) % config.classes


PRESETS = {
    "vit-tiny": Preset(
        ViTConfig(layers=6, width=192, heads=3, image=32, patch=4, classes=10), 64, {"float32": 0.55}
    ),
    "vit-small": Preset(
        ViTConfig(layers=8, width=384, heads=6, image=64, patch=8, classes=200), 32, {"float32": 0.75}
    ),
}
