"""Pixel AUC: area under the ROC curve of the map as a detector of mask pixels (Fawcett 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Maps, Masks, Scores


@dataclass(frozen=True)
class AUC:
    """Probability that a mask pixel outranks another pixel; ties count half, .5 is chance."""

    name: ClassVar[str] = "auc"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        flat, inside = maps.flatten(1), masks.flatten(1)
        ordered = flat.sort(1).values
        below = torch.searchsorted(ordered, flat)
        up_to = torch.searchsorted(ordered, flat, right=True)
        ranks = (below + up_to + 1).double() / 2
        positives = inside.sum(1).double()
        negatives = flat.shape[1] - positives
        area = (ranks * inside).sum(1) - positives * (positives + 1) / 2
        # a mask that covers everything has nothing to outrank
        return torch.where(negatives > 0, area / (positives * negatives).clamp_min(1), 0.5).to(maps.dtype)
