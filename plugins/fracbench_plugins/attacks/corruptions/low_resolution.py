"""Low resolution: a thumbnail enlarged again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images
from torch.nn import functional

from fracbench_plugins.attacks.corruptions._base import Corruption


@dataclass(frozen=True)
class LowResolution(Corruption):
    """Averaged down and interpolated up; levels are the share of the side that is kept."""

    levels: ClassVar[tuple[float, ...]] = (0.7, 0.5, 0.35, 0.25, 0.18)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        small = functional.interpolate(images, scale_factor=level, mode="bilinear", antialias=True)
        return functional.interpolate(small, size=images.shape[2:], mode="bilinear")
