"""Pixel AUC: area under the ROC curve of the map as a detector of mask pixels (Fawcett 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.order import Order
from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus


@dataclass(frozen=True)
class AUC:
    """Probability that a mask pixel outranks another pixel; ties count half, .5 is chance."""

    name: ClassVar[str] = "auc"
    higher_is_better: ClassVar[bool] = True

    @staticmethod
    def chance(masks: Masks, valid: Masks) -> Scores:
        return torch.full((len(masks),), 0.5, device=masks.device)

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return self.of_order(Order(maps, masks))

    def of_order(self, order: Order) -> Scores:
        positives = order.sizes.double()
        negatives = order.pixels - positives
        # of the pixels above a mask pixel, those that are mask pixels themselves are half of the others
        above = order.mean_places() - (positives - 1) / 2
        # a mask that covers everything has nothing to outrank
        return torch.where(negatives > 0, 1 - above / negatives.clamp_min(1), 0.5).float()

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        scores = self.chance(masks, masks)
        partial = ~masks.flatten(1).all(1)  # Quantus has no number for a mask that covers everything
        if partial.any():
            scores[partial] = _quantus.scores("AUC", maps[partial], masks[partial])
        return scores
