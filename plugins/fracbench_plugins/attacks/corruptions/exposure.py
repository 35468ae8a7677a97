"""Exposure and gamma: over- or underexposed, and displayed with another tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, signs

SHIFT = 0.1  # brightness moved for each unit of log gamma


@dataclass(frozen=True)
class Exposure(Corruption):
    """Gamma and brightness, each in a direction drawn for each image; levels are |log gamma|."""

    levels: ClassVar[tuple[float, ...]] = (0.2, 0.35, 0.5, 0.7, 0.9)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        gamma = torch.exp(level * signs(images, generator))
        return images.clamp_min(1e-6) ** gamma + SHIFT * level * signs(images, generator)
