"""Intersection over union of the mask and the map cut in two (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.otsu import otsu
from fracbench.tensors import Maps, Masks, Scores


@dataclass(frozen=True)
class IoU:
    """Overlap of the mask with the pixels above Otsu's threshold, over their union.

    Without a closed form, chance is that of uniform maps.
    """

    name: ClassVar[str] = "iou"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        cut = maps > otsu(maps)[:, None, None]
        return (cut & masks).sum((1, 2)) / (cut | masks).sum((1, 2))
