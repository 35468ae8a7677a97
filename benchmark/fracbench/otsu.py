"""Otsu's threshold (Otsu 1979, doi:10.1109/TSMC.1979.4310076), for maps and for images."""

from __future__ import annotations

import torch

from fracbench.tensors import Maps, Scores

BINS = 256


def otsu(maps: Maps) -> Scores:
    """The threshold of each map (batch, H, W), (batch,): the middle of a bin of its histogram.

    Of 256 bins between a map's lowest and highest value it is the one that parts the values with the largest variance
    between the two sides.
    """
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    width = (high - low).clamp_min(torch.finfo(flat.dtype).tiny) / BINS
    bins = ((flat - low) / width).long().clamp_max(BINS - 1)
    counts = torch.zeros(len(flat), BINS, device=flat.device).scatter_add_(1, bins, torch.ones_like(flat)).double()
    middles = low.double() + (torch.arange(BINS, device=flat.device) + 0.5) * width.double()
    below = counts.cumsum(1)
    mass_below = (counts * middles).cumsum(1)
    above, mass_above = below[:, -1:] - below, mass_below[:, -1:] - mass_below
    apart = mass_below / below.clamp_min(1) - mass_above / above.clamp_min(1)
    best = (below * above * apart**2)[:, :-1].argmax(1, keepdim=True)
    return middles.gather(1, best)[:, 0].to(maps.dtype)
