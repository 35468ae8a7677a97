"""A metric: the mean attribution on the mask, over its sum with the mean beside it."""

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores


@dataclass(frozen=True)
class Contrast:
    """0 to 1; .5 where the map is as strong beside the mask as on it."""

    name: ClassVar[str] = "contrast"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        inside = (maps * masks).sum((1, 2)) / masks.sum((1, 2))
        beside = (maps * ~masks).sum((1, 2)) / (~masks).sum((1, 2)).clamp_min(1)
        return inside / (inside + beside).clamp_min(1e-12)
