"""Collimation: shutters closed further than they should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Images

from fracbench_plugins.attacks.corruptions._base import Corruption, uniform


@dataclass(frozen=True)
class Collimation(Corruption):
    """A black border, half to full strength at each edge; levels are shares of the side. It may cover a fracture."""

    levels: ClassVar[tuple[float, ...]] = (0.03, 0.06, 0.09, 0.12, 0.16)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        height, width = images.shape[2:]
        widths = level * (0.5 + 0.5 * uniform(images, 4, generator))
        changed = images.clone()
        for image, (top, bottom, left, right) in zip(changed, widths.tolist(), strict=True):
            image[:, : round(top * height)] = 0
            image[:, height - round(bottom * height) :] = 0
            image[:, :, : round(left * width)] = 0
            image[:, :, width - round(right * width) :] = 0
        return changed
