"""Rotation and shift: a limb laid down otherwise. The masks move with the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Masks
from torch import Tensor
from torch.nn import functional

from fracbench_plugins.attacks.corruptions._base import Corruption, signs, uniform

SHIFT = 1 / 300  # of the side, for each degree


@dataclass(frozen=True)
class RotationShift(Corruption):
    """Turned one way or the other and shifted in a drawn direction; levels are degrees. What moves in is black."""

    levels: ClassVar[tuple[float, ...]] = (5, 10, 15, 20, 30)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        return _moved(images, _motion(images, level, generator), "bilinear")

    def masks(self, masks: Masks, threat: ThreatModel, generator: torch.Generator) -> Masks:
        """Masks (batch, height, width) moved as images are from the same state of ``generator``."""
        planes = masks[:, None].float()
        return _moved(planes, _motion(planes, self.level(threat), generator), "nearest")[:, 0] > 0.5


def _motion(images: Images, level: float, generator: torch.Generator) -> Tensor:
    """Affine matrices (batch, 2, 3) in the coordinates of ``grid_sample``."""
    angle = math.radians(level) * signs(images, generator).flatten().cpu()
    direction = 2 * math.pi * uniform(images, 1, generator)[:, 0]
    length = 2 * SHIFT * level  # the side is two units long
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos, -sin, length * direction.cos()], 1), torch.stack([sin, cos, length * direction.sin()], 1)]
    return torch.stack(rows, 1).to(images)


def _moved(planes: Tensor, motion: Tensor, mode: str) -> Tensor:
    grid = functional.affine_grid(motion, list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, mode=mode, align_corners=False)
