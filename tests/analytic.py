"""A world where the answers are known: linear models on images far from the borders of [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

SIDE = 16
Step = Callable[[torch.Tensor], torch.Tensor]


class Linear(nn.Module):
    """Fracture margin w.x + b: its gradient is w, its Linf distance |margin| / |w|_1, its L2 |margin| / |w|_2."""

    def __init__(self, weight: torch.Tensor, bias: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = bias
        self.scale = scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        z = self.scale * (images.flatten(1) @ self.weight.flatten() + self.bias)
        return torch.stack([-z / 2, z / 2], 1)


class SmallNet(nn.Module):
    """A small non-linear network with a grid for Grad-CAM, no parameter trained."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images - 0.5).mean((2, 3)))


def images(n: int, side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """Uniform in [0.3, 0.7], so that small balls never meet the borders."""
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 0.4 + 0.3


def linear_world(n: int = 80, wrong: int = 8) -> tuple[Linear, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A linear model, images, labels of which ``wrong`` are against it, and the margins z_y - z_other."""
    weight = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    x = images(n)
    z = x.flatten(1) @ weight.flatten()
    model = Linear(weight, bias=-float(z.mean()))
    labels = (z > z.mean()).long()
    labels[:wrong] = 1 - labels[:wrong]
    margin = torch.where(labels == 1, 1, -1) * (z - z.mean())
    return model, x, labels, margin


class Patches(nn.Module):
    """Tokens (batch, 1 + patches, 2): brightness, and whether it is the class token."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        brightness = nn.functional.avg_pool2d(images, 8).flatten(1)
        tokens = torch.stack([brightness, torch.zeros_like(brightness)], 2)
        return torch.cat([torch.tensor([0.0, 1.0]).expand(len(images), 1, 2), tokens], 1)


class Attend(nn.Module):
    """The class token asks for bright patches and takes over their brightness; a patch asks for nothing."""

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.attn_drop = nn.Dropout(0.0)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        brightness, asks = tokens.split(1, 2)
        weights = self.attn_drop((self.sharpness * asks @ brightness.mT)[:, None].softmax(3))
        return nn.functional.pad(weights[:, 0] @ brightness, (0, 1))


class Tokens(nn.Module):
    """A transformer of one layer, every weight known: the margin is the brightness that the class token takes over."""

    num_prefix_tokens = 1

    def __init__(self, sharpness: float = 20.0) -> None:
        super().__init__()
        self.embed, self.attn = Patches(), Attend(sharpness)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images)
        z = (tokens + self.attn(tokens))[:, 0, 0]
        return torch.stack([-z / 2, z / 2], 1)


def one_bright_patch(row: int, column: int, side: int = 32) -> torch.Tensor:
    """A dark image with one bright patch of 8 x 8."""
    image = torch.full((1, 1, side, side), 0.1)
    image[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 0.9
    return image


class Defended(nn.Module):
    """A network with ``before`` on its images and ``after`` on its logits."""

    def __init__(
        self,
        network: nn.Module,
        before: Step | None = None,
        after: Step | None = None,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.network(self.before(images) if self.before else images)
        return self.after(logits) if self.after else logits
