"""Scores that do not depend on the order of pixels with equal attribution."""

from __future__ import annotations

import torch
from fracbench.tensors import Maps, Masks, Scores


def expected_top(maps: Maps, masks: Masks, count: torch.Tensor) -> Scores:
    """Expected number of mask pixels among each map's ``count`` (batch,) highest, over all tie orders."""
    flat, inside = maps.flatten(1), masks.flatten(1)
    lowest_kept = flat.sort(1, descending=True).values.gather(1, (count - 1)[:, None])
    above, tied = flat > lowest_kept, flat == lowest_kept
    share = (inside & tied).sum(1) / tied.sum(1)
    return (inside & above).sum(1) + (count - above.sum(1)) * share
