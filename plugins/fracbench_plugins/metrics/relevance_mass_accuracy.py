"""Relevance mass accuracy (Arras et al. 2022, arXiv 2003.07258)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus
from fracbench_plugins.metrics._chance import mask_share


@dataclass(frozen=True)
class RelevanceMassAccuracy:
    """Share of the map's mass that lies on the mask, in [0, 1]."""

    name: ClassVar[str] = "relevance_mass_accuracy"
    higher_is_better: ClassVar[bool] = True
    chance = staticmethod(mask_share)

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return (maps * masks).sum((1, 2)) / maps.sum((1, 2))

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        return _quantus.scores("RelevanceMassAccuracy", maps, masks)
