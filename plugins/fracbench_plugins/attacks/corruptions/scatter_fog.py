"""Scatter fog: photons scattered in the body veil what they pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, blurred, from_transmission, transmission

REACH = 0.1  # standard deviation of the veil, as a share of the side


@dataclass(frozen=True)
class ScatterFog(Corruption):
    """A broad blur of the transmitted photons is added to them; levels are the scatter-to-primary ratio."""

    levels: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1, 2, 4)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        primary = transmission(images)
        veil = blurred(primary, REACH * images.shape[-1])
        return from_transmission((primary + level * veil) / (1 + level))
