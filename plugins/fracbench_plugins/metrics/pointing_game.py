"""Pointing game (Zhang et al. 2018, arXiv 1608.00507)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus
from fracbench_plugins.metrics._chance import mask_share


@dataclass(frozen=True)
class PointingGame:
    """Whether the map's maximum lies on the mask; the share of them where several pixels tie for it."""

    name: ClassVar[str] = "pointing_game"
    higher_is_better: ClassVar[bool] = True
    chance = staticmethod(mask_share)

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        peaks = maps == maps.amax((1, 2), keepdim=True)
        return (peaks & masks).sum((1, 2)) / peaks.sum((1, 2))

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        return _quantus.scores("PointingGame", maps, masks)
