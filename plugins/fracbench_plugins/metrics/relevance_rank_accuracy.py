"""Relevance rank accuracy (Arras et al. 2022, arXiv 2003.07258)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fracbench.order import Order
from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus
from fracbench_plugins.metrics._chance import mask_share


@dataclass(frozen=True)
class RelevanceRankAccuracy:
    """Share of the mask among the map's highest pixels, as many as the mask has."""

    name: ClassVar[str] = "relevance_rank_accuracy"
    higher_is_better: ClassVar[bool] = True
    chance = staticmethod(mask_share)

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return self.of_order(Order(maps, masks))

    def of_order(self, order: Order) -> Scores:
        return order.among_highest(order.sizes) / order.sizes

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        return _quantus.scores("RelevanceRankAccuracy", maps, masks)
