"""Which entries of a board a test can tell apart: tie groups by permutation, corrected over all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 20_000
CHUNK = 500  # draws at once
LEVEL = 0.05
ROUNDING = 1e-9
# Beyond so many entries Holm's first threshold lies below 1 / (1 + DRAWS), the smallest p there is: nothing separates.
MOST = int((1 + math.sqrt(1 + 8 * LEVEL * (1 + DRAWS))) / 2)


def per_group(contributions: Mapping[str, Sequence[Any]]) -> tuple[list[str], NDArray[np.float64]]:
    """Group names, and (4, groups): summed value and count on fractured images, then the same on normal ones."""
    names, index = np.unique(np.asarray(contributions["groups"], dtype=str), return_inverse=True)
    values, fractured = np.asarray(contributions["values"], float), np.asarray(contributions["fractured"], bool)
    sums = [
        np.bincount(index, weights=weights * which, minlength=len(names))
        for which in (fractured, ~fractured)
        for weights in (values, np.ones_like(values))
    ]
    return list(names), np.stack(sums)


def headline(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of both factors from (4, ...) summed values and counts."""
    return (sums[0] / sums[1]) * (sums[2] / sums[3])


def p_values(entries: Sequence[Mapping[str, Sequence[Any]]], seed: int = 0) -> dict[tuple[int, int], float]:
    """Two-sided p of the headline difference of every two entries on the same images, by their places (i, j), i < j.

    Within each group of images the two entries are swapped or not, ``DRAWS`` times (1 + b) / (1 + B), by the same draws
    for all pairs. Raises ``ValueError`` where the entries were not evaluated on the same groups.
    """
    if len(entries) < 2:
        return {}
    named = [per_group(entry) for entry in entries]
    names, first = named[0]
    if any(of != names or not np.array_equal(sums[[1, 3]], first[[1, 3]]) for of, sums in named):
        raise ValueError("entries on different images cannot be compared")
    sums = np.stack([of for _, of in named])  # (entries, 4, groups)
    rng, values = np.random.default_rng(seed), sums[:, [0, 2]]
    drawn = (values @ rng.integers(0, 2, (CHUNK, len(names))).T.astype(np.float64) for _ in range(DRAWS // CHUNK))
    totals, swapped = sums.sum(2), np.concatenate(list(drawn), axis=2)  # (entries, 4), (entries, 2, draws)
    counts = first.sum(1)[[1, 3]]

    def p_value(i: int, j: int) -> float:
        change = swapped[j] - swapped[i]
        mine, theirs = ((totals[k, [0, 2], None] + sign * change) for k, sign in ((i, 1), (j, -1)))
        differences = np.abs(mine.prod(0) - theirs.prod(0)) / counts.prod()
        observed = abs(headline(totals[i]) - headline(totals[j]))
        return float((1 + (differences >= observed - ROUNDING).sum()) / (1 + DRAWS))

    return {(i, j): p_value(i, j) for j in range(len(entries)) for i in range(j)}


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Each p corrected by Holm's step-down procedure, at most 1 (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1))
    return [min(1.0, float(p)) for p in corrected]


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which hypotheses Holm's procedure rejects."""
    return [p <= level for p in adjusted(p_values)]


def tie_groups(entries: Sequence[Mapping[str, Sequence[Any]]]) -> list[int]:
    """Group number, from 1, of entries sorted by headline.

    A new group starts at the first entry that is separated from the leader of the group before it.
    """
    if len(entries) > MOST:
        return [1] * len(entries)
    found = p_values(entries)
    separated = {pair for pair, is_rejected in zip(found, holm(list(found.values())), strict=True) if is_rejected}
    groups: list[int] = []
    leader = 0
    for place in range(len(entries)):
        if place and (leader, place) in separated:
            leader = place
        groups.append((groups[-1] + (leader == place)) if groups else 1)
    return groups
