"""Metal: a wire or plate that no photon passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, uniform

LENGTH = 0.5  # of the side


@dataclass(frozen=True)
class Metal(Corruption):
    """A white rod at a drawn place and angle; levels are its width as a share of the side. It may cover a fracture."""

    levels: ClassVar[tuple[float, ...]] = (0.01, 0.02, 0.03, 0.05, 0.08)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        height, width = images.shape[2:]
        x, y, angle = uniform(images, 3, generator).to(images).T[:, :, None, None]
        down = torch.linspace(0, 1, height).to(images).view(1, -1, 1) - (0.2 + 0.6 * y)
        across = torch.linspace(0, 1, width).to(images).view(1, 1, -1) - (0.2 + 0.6 * x)
        cos, sin = (math.pi * angle).cos(), (math.pi * angle).sin()
        along, beside = across * cos + down * sin, down * cos - across * sin
        rod = (along.abs() <= LENGTH / 2) & (beside.abs() <= level / 2)
        return images.masked_fill(rod[:, None], 1.0)
