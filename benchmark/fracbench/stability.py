"""How much an explanation changes when its image is attacked: what stays of the order of pixels and of the highest."""

from __future__ import annotations

import torch
from torch import Tensor

from fracbench.schema import STABILITY
from fracbench.tensors import Maps, Masks, Scores

HIGHEST = 0.05  # share of the picture's pixels whose overlap is taken


def stability(before: Maps, after: Maps, valid: Masks) -> dict[str, Scores]:
    """Of two maps (batch, H, W) of each image, (batch,): on the pixels of the picture, ``valid`` (batch, H, W).

    ``rank_correlation`` is Spearman's, in [-1, 1]. ``top_overlap`` is the share of the highest 5 % of pixels that both
    have in common, in [0, 1], .05 by chance (Ghorbani et al. 2019, arXiv 1710.10547); of pixels that tie for the last
    places each counts in part. NaN where either map is constant.
    """
    rows = [_of_one(a[inside], b[inside]) for a, b, inside in zip(before, after, valid, strict=True)]
    pairs = torch.stack(rows) if rows else before.new_zeros(0, 2)
    return dict(zip(STABILITY, pairs.unbind(1), strict=True))


def _of_one(before: Tensor, after: Tensor) -> Tensor:
    ranks = [_ranks(values) for values in (before, after)]
    spread = [of.std(correction=0) for of in ranks]
    if not all(spread):
        return before.new_full((2,), torch.nan)
    shares = [(of - of.mean()) / width for of, width in zip(ranks, spread, strict=True)]
    kept = max(1, int(HIGHEST * len(before)))
    overlap = torch.minimum(*(_among_highest(values, kept) for values in (before, after))).sum() / kept
    return torch.stack([(shares[0] * shares[1]).mean(), overlap]).float()


def _ranks(values: Tensor) -> Tensor:
    """Places in ascending order, ties at the middle of theirs; float64."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts + 1) / 2).double()[inverse]


def _among_highest(values: Tensor, kept: int) -> Tensor:
    """1 for pixels among the ``kept`` highest, 0 for others, the share that fits in for those that tie at the line."""
    line = values.topk(kept).values[-1]
    above, tied = values > line, values == line
    return above.double() + tied * ((kept - above.sum()) / tied.sum())
