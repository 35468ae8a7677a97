"""Changes to training images that leave the label as it is."""

from __future__ import annotations

import torch
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


def corrupted(images: Images) -> Images:
    """Noise (Rusak et al. 2020, arXiv 2001.06057), blur, or another brightness and contrast, for each image anew."""
    return torch.stack([_CORRUPTIONS(image).clamp(0, 1) for image in images])
