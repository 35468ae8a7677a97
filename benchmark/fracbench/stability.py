"""How much an explanation changes when its image is attacked: what stays of the order of pixels and of the highest."""

from __future__ import annotations

import torch
from torch import Tensor

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
    rows = [_of_one(a[inside], b[inside]) for a, b, inside in zip(before, after, valid, strict=True)]
    pairs = torch.stack(rows) if rows else before.new_zeros(0, 2)
    return dict(zip(STABILITY, pairs.unbind(1), strict=True))


def _of_one(before: Tensor, after: Tensor) -> Tensor:
    ranks = [_ranks(values) for values in (before, after)]
    spread = [of.std(correction=0) for of in ranks]
    if not all(spread):
        return before.new_full((2,), 0.0 if any(spread) else torch.nan)
    standard = [(of - of.mean()) / width for of, width in zip(ranks, spread, strict=True)]
    kept = max(1, int(HIGHEST * len(before)))
    highest = [_among_highest(values, kept) for values in (before, after)]
    overlap = torch.minimum(*highest).sum() / max(of.sum() for of in highest)
    return torch.stack([(standard[0] * standard[1]).mean(), overlap]).float()


def _ranks(values: Tensor) -> Tensor:
    """Places in ascending order, ties at the middle of theirs; float64."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts + 1) / 2).double()[inverse]


def _among_highest(values: Tensor, kept: int) -> Tensor:
    """1 for positive pixels among the ``kept`` highest, the share that fits in for those that tie there, else 0."""
    line = values.topk(kept).values[-1]
    above, tied = values > line, values == line
    return (above.double() + tied * ((kept - above.sum()) / tied.sum())) * (values > 0)
