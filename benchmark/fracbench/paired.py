"""Differences between two entries on the same images: a bootstrap interval and a label-swap permutation test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracbench import alignment_scores, robust_scores, stats
from fracbench.schema import parse_epsilon
from fracbench.ties import DRAWS, ROUNDING, adjusted, headline, per_group

LEVEL = 0.95
CHUNK = 2000  # permutations at once
Sums = NDArray[np.float64]  # (k, groups): what a score is made of, summed over the images of each group
Statistic = Callable[[Sums], Any]


def balanced_accuracy(sums: Sums) -> Any:
    """Of correct and count on fractured images, then on normal ones, (4, ...)."""
    return (sums[0] / sums[1] + sums[2] / sums[3]) / 2


def ratio(sums: Sums) -> Any:
    return sums[0] / sums[1]


SCORES: dict[str, tuple[str, Statistic]] = {
    "headline": ("headline", headline),
    "clean": ("clean balanced accuracy", balanced_accuracy),
    "robust": ("robust balanced accuracy", balanced_accuracy),
    "alignment": ("calibrated alignment", ratio),
}


def sums_of(run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], row: Mapping[str, Any]) -> dict[str, Any]:
    """For each of ``SCORES`` the group names and sums of one entry; ``row`` is its summary.

    Alignment has none where a map of the panel is missing: it would be of other images than another entry's.
    """
    images = tables["images"].set_index("image")
    predictions = tables["predictions"]
    clean = predictions[predictions.attack == "clean"].set_index("image").correct.reindex(images.index)
    clean = clean.fillna(False).astype(bool)
    attacked = robust_scores.whole_attacks(predictions, run["threat"], parse_epsilon(run["epsilon"]))
    robust = robust_scores.worst_case(attacked, images, clean)
    found = {"headline": per_group(row["contributions"])}
    for name, correct in (("clean", clean), ("robust", robust)):
        found[name] = per_group({"groups": images.group, "fractured": images.label == 1, "values": correct})
    top, bottom = alignment_scores.panel_sums(tables["alignment"], images, run["panel"])
    groups, index = np.unique(images.group.reindex(top.index).astype(str), return_inverse=True)
    both = [np.bincount(index, weights=of.to_numpy(float), minlength=len(groups)) for of in (top, bottom)]
    maps = tables["alignment"]
    maps = maps[(maps.attack == "clean") & maps.explainer.isin(run["panel"]) & maps.image.isin(top.index)]
    whole = len(maps) == len(top) * len(run["panel"])
    found["alignment"] = (list(groups), np.stack(both)) if whole else ([], np.zeros((2, 0)))
    return found


def differences(entries: Mapping[str, Mapping[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Of every two entries, by name, in each score: the first less the second, on the same images.

    ``value`` with its 95 % interval ``low``, ``high`` (percentile bootstrap over groups, both entries in the same
    draws), ``p`` (two-sided; the entries are swapped or not within each group, (1 + b) / (1 + B)), ``holm`` (p
    corrected over all of these comparisons; Holm 1979), and ``n`` groups. Where the entries were not evaluated on the
    same images, or a score is undefined, the numbers are NaN; so is the interval where groups are fewer than
    ``stats.FEW`` or every draw gives the same.
    """
    rows = []
    for (one, of_one), (other, of_other) in itertools.combinations(entries.items(), 2):
        for score in [score for score in SCORES if score in of_one and score in of_other]:
            words, statistic = SCORES[score]
            row: dict[str, Any] = {"one": one, "other": other, "score": words}
            rows.append(row | _difference(of_one[score], of_other[score], statistic, seed))
    defined = [row for row in rows if np.isfinite(row["p"])]
    for row, p in zip(defined, adjusted([row["p"] for row in defined]), strict=True):
        row["holm"] = p
    return rows


def _difference(
    one: tuple[Sequence[str], Sums], other: tuple[Sequence[str], Sums], statistic: Statistic, seed: int
) -> dict[str, Any]:
    (names, a), (names_b, b) = one, other
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan, "p": np.nan, "holm": np.nan, "n": len(names)}
    if list(names) != list(names_b) or not len(names) or not _same_counts(a, b):
        return nothing
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(a.sum(1)) - statistic(b.sum(1)))
        if not np.isfinite(value):
            return nothing
        counts, _ = stats.resample(names)
        drawn = statistic(stats.summed(counts, a.T).T) - statistic(stats.summed(counts, b.T).T)
        says = len(names) >= stats.FEW and np.nanmax(drawn) - np.nanmin(drawn) > ROUNDING
        low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if says else (np.nan, np.nan)
        beyond = sum(int((np.abs(of) >= abs(value) - ROUNDING).sum()) for of in _swapped(a, b, statistic, seed))
    return {"value": value, "low": float(low), "high": float(high), "p": (1 + beyond) / (1 + DRAWS), "holm": np.nan,
            "n": len(names)}  # fmt: skip


def _same_counts(a: Sums, b: Sums) -> bool:
    """Whether both have as many fractured and normal images in each group; a ratio of two sums says nothing of it."""
    return a.shape == b.shape and (len(a) != 4 or np.array_equal(a[1::2], b[1::2]))


def _swapped(a: Sums, b: Sums, statistic: Statistic, seed: int) -> Any:
    """Differences where within each group the two are swapped or not, some draws at a time."""
    rng, change = np.random.default_rng(seed), b - a
    for _ in range(DRAWS // CHUNK):
        moved = change @ rng.integers(0, 2, (CHUNK, a.shape[1])).T.astype(np.float64)
        yield statistic(a.sum(1)[:, None] + moved) - statistic(b.sum(1)[:, None] - moved)
