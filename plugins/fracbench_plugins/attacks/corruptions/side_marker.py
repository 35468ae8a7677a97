"""Side marker: a lead letter in a corner, where the training images may have had none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from fracbench.tensors import Images
from PIL import Image, ImageDraw, ImageFont

from fracbench_plugins.attacks.corruptions._base import Corruption, uniform

MARGIN = 0.04  # of the side, between letter and edge


@dataclass(frozen=True)
class SideMarker(Corruption):
    """An opaque R or L in a drawn corner; levels are its height as a share of the side."""

    levels: ClassVar[tuple[float, ...]] = (0.06, 0.08, 0.11, 0.15, 0.2)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        side = images.shape[-1]
        font = ImageFont.load_default(size=level * side * 1.35)  # a capital is about three quarters of its em
        draws = uniform(images, 3, generator) < 0.5
        letters = [_letter(side, font, *choice) for choice in draws.tolist()]
        return images.maximum(torch.from_numpy(np.stack(letters)).to(images)[:, None] / 255)


def _letter(
    side: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, right: bool, low: bool, is_r: bool
) -> np.ndarray:
    picture = Image.new("L", (side, side))
    edge = MARGIN * side
    place = (side - edge if right else edge, side - edge if low else edge)
    anchor = ("r" if right else "l") + ("b" if low else "t")
    ImageDraw.Draw(picture).text(place, "R" if is_r else "L", fill=255, font=font, anchor=anchor)
    return np.asarray(picture)
