"""How much an explanation changes when its image is attacked: what stays of the order of pixels and of the highest."""

from __future__ import annotations

import torch
from torch import Tensor

from fracbench.order import runs
from fracbench.schema import STABILITY
from fracbench.tensors import Maps, Masks, Scores

HIGHEST = 0.05  # share of the picture's pixels whose overlap is taken


def stability(before: Maps, after: Maps, valid: Masks) -> dict[str, Scores]:
    """Of two maps (batch, H, W) of each image, (batch,): on the pixels of the picture, ``valid`` (batch, H, W).

    ``rank_correlation`` is Spearman's, in [-1, 1]. ``top_overlap`` is what the highest 5 % of pixels of the two have in
    common, as a share of the larger set, in [0, 1] and .05 by chance (Ghorbani et al. 2019, arXiv 1710.10547); pixels
    that are zero are among no map's highest, and of those that tie for the last places each counts in part. Both are 0
    where one of the maps is constant, and not a number where both are.
    """
    pixels = valid.flatten(1).sum(1)
    kept = (HIGHEST * pixels.double()).long().clamp_min(1)
    ranks, highest = zip(*(_ranks_and_highest(maps, valid, pixels, kept) for maps in (before, after)), strict=True)
    spread = [(of * of).sum(1, dtype=torch.float64) for of in ranks]
    correlation = (ranks[0] * ranks[1]).sum(1, dtype=torch.float64) / (spread[0] * spread[1]).sqrt()
    overlap = torch.minimum(*highest).sum(1) / torch.maximum(*(of.sum(1) for of in highest))
    changing = [of > 0 for of in spread]
    undefined = torch.where(changing[0] | changing[1], 0.0, torch.nan)
    defined = changing[0] & changing[1]
    pair = (torch.where(defined, of.float(), undefined) for of in (correlation, overlap))
    return dict(zip(STABILITY, pair, strict=True))


def _ranks_and_highest(maps: Maps, valid: Masks, pixels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Of each pixel its rank less the mean rank, and 1 where it is a positive one among the ``kept`` highest, else 0.

    Ties are at the middle of their places; the share that fits in stands for those that tie for the last place.
    """
    inside = valid.flatten(1)
    first, last = runs(maps, valid)
    outside = inside.shape[1] - pixels
    mean = outside + (pixels - 1) / 2
    ranks = torch.where(inside, (first + last) / 2 - mean[:, None], 0)
    within = (last + 1 - (inside.shape[1] - kept)[:, None]) / (last - first + 1)
    return ranks, torch.where(inside & (maps.flatten(1) > 0), within.clamp(0, 1), 0)
