"""Detector blur: a soft screen, or a hand that moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, blurred


@dataclass(frozen=True)
class DetectorBlur(Corruption):
    """Gaussian blur; levels are its standard deviation as a share of the side."""

    levels: ClassVar[tuple[float, ...]] = (0.004, 0.008, 0.012, 0.018, 0.026)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        return blurred(images, level * images.shape[-1])
