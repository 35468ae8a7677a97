"""JPEG: a picture sent by a messenger."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from fracbench.tensors import Images
from PIL import Image

from fracbench_plugins.attacks.corruptions._base import Corruption


@dataclass(frozen=True)
class JPEG(Corruption):
    """JPEG compression; levels are Pillow's quality."""

    levels: ClassVar[tuple[float, ...]] = (60, 40, 25, 15, 8)

    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        pictures = (images[:, 0].cpu() * 255).round().byte().numpy()
        decoded = np.stack([_through(picture, int(level)) for picture in pictures])
        return torch.from_numpy(decoded).to(images)[:, None] / 255


def _through(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
