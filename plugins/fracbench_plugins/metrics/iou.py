"""Intersection over union of the mask and the map cut in two (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.tensors import Maps, Masks, Scores

BINS = 256


@dataclass(frozen=True)
class IoU:
    """Overlap of the mask with the pixels above Otsu's threshold, over their union.

    The threshold is the middle of the histogram's bin, of 256 between a map's lowest and highest value, that parts the
    values with the largest variance between the two sides. Without a closed form, chance is that of uniform maps.
    """

    name: ClassVar[str] = "iou"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: Maps, masks: Masks) -> Scores:
        cut = maps > otsu(maps)[:, None, None]
        return (cut & masks).sum((1, 2)) / (cut | masks).sum((1, 2))


def otsu(maps: Maps) -> Scores:
    """Otsu's threshold of each map, (batch,)."""
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    width = (high - low) / BINS
    bins = ((flat - low) / width).long().clamp_max(BINS - 1)
    counts = torch.zeros(len(flat), BINS, device=flat.device).scatter_add_(1, bins, torch.ones_like(flat)).double()
    middles = low.double() + (torch.arange(BINS, device=flat.device) + 0.5) * width.double()
    below = counts.cumsum(1)
    mass_below = (counts * middles).cumsum(1)
    above, mass_above = below[:, -1:] - below, mass_below[:, -1:] - mass_below
    apart = mass_below / below.clamp_min(1) - mass_above / above.clamp_min(1)
    best = (below * above * apart**2)[:, :-1].argmax(1, keepdim=True)
    return middles.gather(1, best)[:, 0].to(maps.dtype)
