"""RISE (Petsiuk et al. 2018, arXiv 1806.07421)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class RISE:
    """How the fracture margin changes where random masks leave the image open; native grid: the image.

    ``masks`` random grids of ``grid`` x ``grid`` cells, each open with probability ``keep``, are enlarged, shifted by a
    part of a cell and laid over the image; closed cells are black. A map is the sum of the masks weighted by the margin
    less its mean, so that a constant in the margin does not show. All images have the same masks, from ``seed``.
    """

    masks: int = 500
    grid: int = 8
    keep: float = 0.5
    seed: int = 0

    sign: ClassVar[Literal["positive"]] = "positive"
    answers_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.masks < 2:
            raise ValueError("masks must be at least 2")
        if self.grid < 2:
            raise ValueError("grid must be at least 2")
        if not 0 < self.keep < 1:
            raise ValueError("keep must lie between 0 and 1, without the two")

    @property
    def passes(self) -> tuple[int, int]:
        return self.masks, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        side = images.shape[-1]
        with torch.no_grad():
            margins = torch.stack([margin_model(images * mask.to(images)) for mask in self._masks(side)])
        maps = torch.zeros_like(images[:, 0])
        for weight, mask in zip(margins - margins.mean(0), self._masks(side), strict=True):
            maps += weight[:, None, None] * mask.to(images)
        return maps / (self.masks * self.keep)

    def _masks(self, side: int) -> Iterator[Tensor]:
        """(side, side) each; drawn anew where they are needed, since thousands of them fill the memory."""
        generator = torch.Generator().manual_seed(self.seed)
        cell = -(-side // self.grid)
        for _ in range(self.masks):
            cells = (torch.rand(1, 1, self.grid, self.grid, generator=generator) < self.keep).float()
            whole = functional.interpolate(cells, size=(self.grid + 1) * cell, mode="bilinear", align_corners=False)
            top, left = torch.randint(cell, (2,), generator=generator).tolist()
            yield whole[0, 0, top : top + side, left : left + side]
