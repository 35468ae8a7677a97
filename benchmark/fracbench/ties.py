"""Which entries of a board a test can tell apart: tie groups by permutation, corrected over all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 20_000
LEVEL = 0.05


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


def p_value(one: Mapping[str, Sequence[Any]], other: Mapping[str, Sequence[Any]], seed: int = 0) -> float:
    """Two-sided p of the headline difference of two entries on the same images.

    Within each group of images the two entries are swapped or not, ``DRAWS`` times (1 + b) / (1 + B). Raises
    ``ValueError`` where the entries were not evaluated on the same groups.
    """
    (names, a), (others, b) = per_group(one), per_group(other)
    if names != others or not np.array_equal(a[[1, 3]], b[[1, 3]]):
        raise ValueError("entries on different images cannot be compared")
    observed = abs(headline(a.sum(1)) - headline(b.sum(1)))
    swap = np.random.default_rng(seed).integers(0, 2, (DRAWS, len(names)))
    change = swap @ (b - a).T  # (draws, 4)
    differences = headline((a.sum(1) + change).T) - headline((b.sum(1) - change).T)
    return float((1 + (np.abs(differences) >= observed - 1e-12).sum()) / (1 + DRAWS))


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects (Holm 1979)."""
    rejected = [False] * len(p_values)
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] > level / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected


def tie_groups(entries: Sequence[Mapping[str, Sequence[Any]]]) -> list[int]:
    """Group number, from 1, of entries sorted by headline.

    A new group starts at the first entry that is separated from the leader of the group before it.
    """
    pairs = [(i, j) for j in range(len(entries)) for i in range(j)]
    rejected = holm([p_value(entries[i], entries[j]) for i, j in pairs])
    separated = {pair for pair, is_rejected in zip(pairs, rejected, strict=True) if is_rejected}
    groups: list[int] = []
    leader = 0
    for place in range(len(entries)):
        if place and (leader, place) in separated:
            leader = place
        groups.append((groups[-1] + (leader == place)) if groups else 1)
    return groups
