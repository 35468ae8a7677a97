"""Top-k intersection (Theiner et al. 2021, arXiv 2104.14403)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.order import Order
from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics import _quantus
from fracbench_plugins.metrics._chance import mask_share


@dataclass(frozen=True)
class TopKIntersection:
    """Share of the k highest pixels that lies on the mask; k = int(``share`` x pixels of the picture), at least 1."""

    name: ClassVar[str] = "top_k_intersection"
    higher_is_better: ClassVar[bool] = True
    chance = staticmethod(mask_share)

    share: float = 0.05

    def k(self, pixels: int) -> int:
        return max(1, int(self.share * pixels))

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        return self.of_order(Order(maps, masks))

    def of_order(self, order: Order) -> Scores:
        k = self.k(order.pixels)
        return order.among_highest(torch.full_like(order.sizes, k)) / k

    def reference(self, maps: Maps, masks: Masks) -> Scores:
        return _quantus.scores("TopKIntersection", maps, masks, k=self.k(maps[0].numel()))
