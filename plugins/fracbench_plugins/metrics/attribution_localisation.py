"""Attribution localisation (Kohlbrenner et al. 2020, arXiv 1910.09840)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus
from fracbench_plugins.metrics._chance import mask_share


@dataclass(frozen=True)
class AttributionLocalisation:
    """Mass on the mask over all positive mass; on non-negative maps the relevance mass accuracy."""

    name: ClassVar[str] = "attribution_localisation"
    higher_is_better: ClassVar[bool] = True
    chance = staticmethod(mask_share)

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return (maps * masks).sum((1, 2)) / maps.clamp_min(0).sum((1, 2))

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        # of maps, which are not negative, absolutes change nothing; not to take them has Quantus print a line each time
        return _quantus.scores("AttributionLocalisation", maps, masks, abs=True)
