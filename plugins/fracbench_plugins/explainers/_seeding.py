"""Randomness that belongs to an image: it has the same draws alone and in every batch."""

from __future__ import annotations

import hashlib

import torch
from fracbench.tensors import Images
from torch import Tensor


def seeds_of(images: Images, seed: int) -> list[int]:
    """One 64-bit seed for each image, from its bytes and ``seed``."""
    tail = seed.to_bytes(8, "little", signed=True)
    digests = [hashlib.sha256(image.tobytes() + tail).digest() for image in images.detach().cpu().numpy()]
    return [int.from_bytes(digest[:8], "little") for digest in digests]


class Draws:
    """Draws for each image of a batch, shape (batch, 1, height, width) or (batch, 1, 1, 1)."""

    def __init__(self, images: Images, seed: int) -> None:
        self._images = images
        self._generators = [torch.Generator().manual_seed(of) for of in seeds_of(images, seed)]

    def normal(self) -> Tensor:
        shape = self._images.shape[1:]
        return torch.stack([torch.randn(shape, generator=of) for of in self._generators]).to(self._images)

    def uniform(self) -> Tensor:
        """One number in [0, 1) for each image."""
        return torch.stack([torch.rand(1, 1, 1, generator=of) for of in self._generators]).to(self._images)
