"""Quantum noise: a smaller dose means fewer photons, and their number varies as Poisson's law says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, from_transmission, transmission


@dataclass(frozen=True)
class QuantumNoise(Corruption):
    """Poisson noise on transmitted photons; levels are photons per pixel beside the body."""

    levels: ClassVar[tuple[float, ...]] = (2000, 800, 300, 120, 50)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        expected = (level * transmission(images)).cpu()
        counted = torch.poisson(expected, generator=generator).clamp_min(0.5)  # none counted: black film
        return from_transmission((counted / level).to(images))
