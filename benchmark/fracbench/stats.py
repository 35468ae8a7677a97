"""Intervals for means over images that come in groups (patients, near-duplicates)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

DRAWS = 10_000
TOGETHER = 2**18  # numbers at once, so that memory does not grow with the groups
FEW = 5  # successes, failures or groups below which a bootstrap says too little


def resample(groups: ArrayLike, seed: int = 0, draws: int = DRAWS) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bootstrap over groups: (draws, n_groups) counts, not to be written to, and the group number of each row."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return _drawn(len(names), seed, draws), index


@lru_cache(maxsize=4)
def _drawn(n: int, seed: int, draws: int) -> NDArray[np.uint8]:
    # kept, since the scores of a run are of the same few images; in bytes, since many thousand images are many counts
    rng, shares = np.random.default_rng(seed), np.full(n, 1 / n)
    counts = np.empty((draws, n), np.uint8)
    for some in _parts(counts):
        some[:] = rng.multinomial(n, shares, size=len(some)).clip(max=255)  # nobody is drawn so often
    counts.setflags(write=False)
    return counts


def summed(counts: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, ...) sums over each draw's groups of (groups, ...) values; counts become floats some at a time."""
    return np.concatenate([some @ values for some in _parts(counts)])


def _parts(counts: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Some draws at a time, each a view."""
    return np.array_split(counts, min(len(counts), max(1, counts.size // TOGETHER)))


def _per_group(values: NDArray[np.float64], index: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    return np.bincount(index, weights=values, minlength=n).astype(np.float64)


def wilson(mean: float, n: float, level: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion ``mean`` of ``n``."""
    z = ndtri(0.5 + level / 2)
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    # rounded, the end at a share of 0 or 1 would lie beside it
    return float(min(mean, max(0.0, centre - half))), float(max(mean, min(1.0, centre + half)))


def proportion(values: ArrayLike, groups: ArrayLike, level: float = 0.95) -> dict[str, float | int]:
    """Mean of per-image values in [0, 1] with its interval: ``value``, ``low``, ``high``, ``n``.

    The wider at either end of a percentile bootstrap clustered by group and of Wilson's interval at the effective
    number of images (Korn & Graubard 1998): a bootstrap of few failures in few groups ends too soon
    (``tests/simulated.py``). Where fewer than five successes, failures or groups are there, Wilson on the number of
    groups. Without images, or where a value is NaN, everything is NaN.
    """
    given = np.asarray(values, dtype=float)
    if len(given) == 0 or np.isnan(given).any():
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": len(given)}
    mean = float(given.mean())
    n_groups = len(np.unique(np.asarray(groups)))
    if min(given.sum(), (1 - given).sum(), n_groups) < FEW:
        low, high = wilson(mean, n_groups, level)
    else:
        counts, index = resample(groups)
        sums, sizes = (_per_group(v, index, counts.shape[1]) for v in (given, np.ones_like(given)))
        means = summed(counts, sums) / summed(counts, sizes)
        drawn = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        by_score = wilson(mean, _effective(given, sums, sizes, level), level)
        low, high = float(min(drawn[0], by_score[0])), float(max(drawn[1], by_score[1]))
    return {"value": mean, "low": low, "high": high, "n": len(given)}


def _effective(
    given: NDArray[np.float64], sums: NDArray[np.float64], sizes: NDArray[np.float64], level: float
) -> float:
    """Independent images, right or wrong, that would tell a share as well as these images in groups do.

    Groups that agree with each other more than their images do tell no more than if no image had a group. One group
    more at either end, 0 and 1, is counted in: groups that happen to agree tell little of how far others may lie.
    """
    n, mean = len(sums), given.mean()
    between = n / (n - 1) * np.sum((sums - mean * sizes) ** 2) / len(given) ** 2
    ends = (mean**2 + (1 - mean) ** 2) / n**2
    variance = max(between, given.var(ddof=1) / len(given)) + ends
    upper = 0.5 + level / 2
    return float(mean * (1 - mean) / variance * (ndtri(upper) / stdtrit(n - 1, upper)) ** 2)


def ratio(
    numerators: ArrayLike, denominators: ArrayLike, groups: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of a ratio of sums over images, clustered by group; NaN for fewer than five groups."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if len(np.unique(np.asarray(groups))) < FEW:
        return np.nan, np.nan
    counts, index = resample(groups)
    n = counts.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = summed(counts, _per_group(top, index, n)) / summed(counts, _per_group(bottom, index, n))
    low, high = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def auroc_interval(
    scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, level: float = 0.95
) -> dict[str, float | int]:
    """Area under the ROC curve with a bootstrap interval clustered by group: ``value``, ``low``, ``high``, ``n``.

    No interval where a class has fewer than five groups, or where the area is 0 or 1: a bootstrap has no width there.
    """
    given, positive, of = np.asarray(scores, dtype=float), np.asarray(labels) == 1, np.asarray(groups)
    value = auroc(given, positive)
    few = min(len(np.unique(of[positive])), len(np.unique(of[~positive]))) < FEW
    if few or not 0 < value < 1:
        return {"value": value, "low": np.nan, "high": np.nan, "n": len(given)}
    counts, index = resample(of)
    order = np.argsort(given, kind="stable")
    # as many fractured and normal images as a draw has at each score, from the lowest
    _, first = np.unique(given[order], return_index=True)
    drawn = []
    for some in _parts(counts):
        weights = some[:, index[order]].astype(float)
        fractured, normal = (np.add.reduceat(weights * which[order], first, axis=1) for which in (positive, ~positive))
        below = normal.cumsum(1) - normal / 2
        with np.errstate(invalid="ignore"):  # a draw without one of the classes says nothing
            drawn.append((fractured * below).sum(1) / (fractured.sum(1) * normal.sum(1)))
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return {"value": value, "low": float(low), "high": float(high), "n": len(given)}


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve, ties counted half; NaN where a class is missing."""
    from scipy.stats import rankdata

    given, positive = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(given)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
