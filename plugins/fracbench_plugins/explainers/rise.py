"""RISE (Petsiuk et al. 2018, arXiv 1806.07421)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images
from torch import Tensor
from torch.nn import functional


def _behind(margin_model: MarginModel, images: Images, masks: Tensor) -> Tensor:
    """Margins (masks, batch) of every image behind every mask."""
    hidden = images * masks[:, None, None]
    return margin_model(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])


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
        at_once = margin_model.copies(images)
        with torch.no_grad():
            margins = torch.cat([_behind(margin_model, images, masks) for masks in self._some(images, at_once)])
        weights = (margins - margins.mean(0)).split(at_once)
        maps = torch.zeros_like(images[:, 0])
        for some, masks in zip(weights, self._some(images, at_once), strict=True):
            maps += torch.einsum("mn,mhw->nhw", some, masks)
        return maps / (self.masks * self.keep)

    def _some(self, images: Images, at_once: int) -> Iterator[Tensor]:
        """Masks (n, side, side); drawn anew where they are needed, since thousands of them fill the memory."""
        masks = self._masks(images.shape[-1])
        while some := list(islice(masks, at_once)):
            yield torch.stack(some).to(images)

    def _masks(self, side: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        cell = -(-side // self.grid)
        for _ in range(self.masks):
            cells = (torch.rand(1, 1, self.grid, self.grid, generator=generator) < self.keep).float()
            whole = functional.interpolate(cells, size=(self.grid + 1) * cell, mode="bilinear", align_corners=False)
            top, left = torch.randint(cell, (2,), generator=generator).tolist()
            yield whole[0, 0, top : top + side, left : left + side]
