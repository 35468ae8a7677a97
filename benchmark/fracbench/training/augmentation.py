"""Changes to training images that leave the label as it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from fracbench.tensors import Images, Masks

# one of these for each image; drawn from torch's global generator
_CORRUPTIONS = v2.RandomChoice(
    [
        v2.GaussianNoise(sigma=0.04),
        v2.GaussianNoise(sigma=0.08),
        v2.GaussianBlur(5, (0.3, 1.2)),
        v2.ColorJitter(brightness=0.3, contrast=0.3),
        v2.Identity(),
    ]
)


def turned(images: Images, masks: Masks, rng: torch.Generator) -> tuple[Images, Masks]:
    """Quarter turns and a flip, drawn once for a batch, for images and masks alike."""
    turns, flip = torch.randint(4, (2,), generator=rng).tolist()
    images, masks = torch.rot90(images, turns, (2, 3)), torch.rot90(masks, turns, (1, 2))
    return (images.flip(3), masks.flip(2)) if flip % 2 else (images, masks)


def moved(images: Images, masks: Masks, rng: torch.Generator) -> tuple[Images, Masks]:
    """Each image mirrored, turned by up to 15 degrees, scaled and shifted by up to a tenth, brighter or darker.

    What comes in from outside is black; a mask keeps the pixels of which it covers at least a quarter.
    """
    n = len(images)

    def within(low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high, generator=rng)

    angle, scale = within(-math.pi / 12, math.pi / 12), within(1 / 1.1, 1.1)
    mirror = (torch.rand(n, generator=rng) < 0.5).float() * 2 - 1
    rows = [scale * angle.cos() * mirror, -scale * angle.sin(), within(-0.2, 0.2)]
    rows += [scale * angle.sin() * mirror, scale * angle.cos(), within(-0.2, 0.2)]
    matrix = torch.stack(rows, 1).view(n, 2, 3).to(images)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    both = torch.cat([images, masks[:, None].to(images)], 1)
    images, covered = functional.grid_sample(both, grid, align_corners=False).split(1, 1)
    exponent = within(-0.25, 0.25).exp().to(images)
    return images.clamp(0, 1) ** exponent[:, None, None, None], covered[:, 0] >= 0.25


AUGMENTATIONS = {"turned": turned, "moved": moved}


def corrupted(images: Images) -> Images:
    """Noise (Rusak et al. 2020, arXiv 2001.06057), blur, or another brightness and contrast, for each image anew."""
    return torch.stack([_CORRUPTIONS(image).clamp(0, 1) for image in images])
