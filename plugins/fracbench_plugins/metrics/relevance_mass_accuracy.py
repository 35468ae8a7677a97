"""Relevance mass accuracy (Arras et al. 2022, arXiv 2003.07258)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores


@dataclass(frozen=True)
class RelevanceMassAccuracy:
    """Share of the map's mass that lies on the mask, in [0, 1]."""

    name: ClassVar[str] = "relevance_mass_accuracy"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return (maps * masks).sum((1, 2)) / maps.sum((1, 2))
