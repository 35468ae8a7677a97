"""Contrast loss: a high tube voltage, or a flat display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption


@dataclass(frozen=True)
class ContrastLoss(Corruption):
    """Pixels move towards the image's mean; levels are the share of contrast that is lost."""

    levels: ClassVar[tuple[float, ...]] = (0.2, 0.35, 0.5, 0.65, 0.8)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        mean = images.mean((2, 3), keepdim=True)
        return mean + (1 - level) * (images - mean)
