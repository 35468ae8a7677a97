"""Top-k intersection (Theiner et al. 2021, arXiv 2104.14403)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Maps, Masks, Scores

from fracbench_plugins.metrics._ties import expected_top


@dataclass(frozen=True)
class TopKIntersection:
    """Share of the mask among the k highest pixels; k is a ``share`` of all pixels."""

    name: ClassVar[str] = "top_k_intersection"
    higher_is_better: ClassVar[bool] = True

    share: float = 0.05

    def k(self, pixels: int) -> int:
        return max(1, int(self.share * pixels))

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        k = self.k(maps[0].numel())
        return expected_top(maps, masks, torch.full((len(maps),), k, device=maps.device)) / k
