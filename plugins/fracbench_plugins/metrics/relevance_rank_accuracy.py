"""Relevance rank accuracy (Arras et al. 2022, arXiv 2003.07258)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics._ties import expected_top


@dataclass(frozen=True)
class RelevanceRankAccuracy:
    """Share of the mask among the map's highest pixels, as many as the mask has."""

    name: ClassVar[str] = "relevance_rank_accuracy"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        size = masks.sum((1, 2))
        return expected_top(maps, masks, size) / size
