"""Clipped histogram: a display window too narrow for the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption


@dataclass(frozen=True)
class ClippedHistogram(Corruption):
    """Stretched between two quantiles of the pixels that are not black; levels are the share clipped at each end."""

    levels: ClassVar[tuple[float, ...]] = (0.02, 0.05, 0.1, 0.15, 0.2)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        changed = images.clone()
        for image in changed:
            lit = image[image > 0]
            if lit.numel() > 1:
                low, high = torch.quantile(lit, level), torch.quantile(lit, 1 - level)
                image.copy_((image - low) / (high - low).clamp_min(1e-3))
        return changed
