"""How robustness and alignment go together over the entries of a board: pure functions of rows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from fracbench_leaderboard import joint
from fracbench_leaderboard.filtering import training_kind
from fracbench_leaderboard.table import interval, p_words

DRAWS = 10_000
FEWEST = 5  # entries; of fewer no order at all has a p below .05
Row = Mapping[str, Any]
LIMITS = (
    "Entries of one board share data, and often architecture: they are no random sample of models.",
    "A better model may be both more robust and better aligned; accuracy is not held fixed here.",
    "An entry that keeps no accuracy under attack has nothing to be aligned with; the headline counts it as 0.",
    "Maps that look at no model can score above chance where fractures lie in the middle: see the blind maps.",
)


@dataclass(frozen=True)
class Relation:
    """Spearman's rank correlation of robust balanced accuracy and calibrated alignment over ``n`` entries.

    ``p`` is two-sided, by permutation of one of the two, (1 + b) / (1 + B). None where there are too few entries or one
    number is the same for all.
    """

    n: int
    rho: float | None
    p: float | None


def relation(rows: Sequence[Row], seed: int = 0) -> Relation:
    pairs = [
        (one, other)
        for row in rows
        if (one := joint.robustness(row)["value"]) is not None and (other := joint.alignment(row)["value"]) is not None
    ]
    return _relation(tuple(pairs), seed)


@lru_cache(maxsize=16)
def _relation(pairs: tuple[tuple[float, float], ...], seed: int) -> Relation:
    if len(pairs) < FEWEST:
        return Relation(len(pairs), None, None)
    robust, aligned = (pd.Series(of).rank().to_numpy() for of in zip(*pairs, strict=True))
    if np.ptp(robust) == 0 or np.ptp(aligned) == 0:
        return Relation(len(pairs), None, None)
    rho = float(np.corrcoef(robust, aligned)[0, 1])
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(aligned, (DRAWS, 1)), axis=1)
    centred, mine = shuffled - aligned.mean(), robust - robust.mean()
    drawn = centred @ mine / np.sqrt((centred**2).sum(1) * (mine**2).sum())
    beyond = int((np.abs(drawn) >= abs(rho) - 1e-12).sum())
    return Relation(len(pairs), rho, (1 + beyond) / (1 + DRAWS))


def sentence(of: Relation) -> str:
    """What a correlation says, in words that follow from the numbers."""
    if of.rho is None or of.p is None:
        return (
            f"{of.n} ranked entries have both numbers; that is too few, or they are all alike, to say how robustness "
            f"and alignment go together."
        )
    numbers = f"Spearman's rho {of.rho:+.2f}, permutation p {p_words(of.p)}, n = {of.n} entries"
    if of.p > 0.05:
        return f"No relation between robustness and alignment can be told from chance ({numbers})."
    more = "better" if of.rho > 0 else "worse"
    return f"Among these entries the more robust ones are {more} aligned ({numbers}); that is no proof of a cause."


def twins(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pairs of a standard and an adversarially trained entry with the same architecture, size and stated data."""
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["parameters"] is not None:
            families.setdefault((row["architecture"], row["parameters"], row["trained_on"]), []).append(row)

    def of(kind: str, family: Sequence[Row]) -> list[Row]:
        return [row for row in family if training_kind(row) == kind]

    return [pair for family in families.values()
            for pair in itertools.product(of("standard", family), of("adversarial", family))]  # fmt: skip


def twin_table(pairs: Sequence[tuple[Row, Row]]) -> pd.DataFrame:
    """One line per pair: both robust accuracies, both calibrated alignments, and the difference of these.

    The difference has no interval here: the page that compares two entries pairs their images.
    """
    lines = []
    for plain, robust in pairs:
        before, after = joint.alignment(plain)["value"], joint.alignment(robust)["value"]
        change = "–" if None in (before, after) else f"{after - before:+.3f}"
        lines.append(
            {
                "Standard": plain["submission"],
                "Adversarial": robust["submission"],
                "Robust, standard": interval(joint.robustness(plain)),
                "Robust, adversarial": interval(joint.robustness(robust)),
                "Alignment, standard": interval(joint.alignment(plain)),
                "Alignment, adversarial": interval(joint.alignment(robust)),
                "Difference": change,
                "n": " / ".join(str(row["calibrated_alignment"]["n"]) for row in (plain, robust)),
            }
        )
    return pd.DataFrame(lines)
