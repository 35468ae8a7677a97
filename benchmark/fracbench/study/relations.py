"""How two numbers of models go together over the models of a board: rank correlations with permutation p."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from fracbench.ties import ROUNDING

DRAWS = 10_000
FEWEST = 5  # models; of fewer no order at all has a p below .05
Vector = NDArray[np.float64]


def relations(x: ArrayLike, y: ArrayLike, held: ArrayLike, seed: int = 0) -> dict[str, Any]:
    """Spearman's rho, Kendall's tau-b, and the partial rank correlation that holds ``held`` fixed, over ``n`` models.

    Each is ``{"value", "p"}``, two-sided by permutation of the models, (1 + b) / (1 + B); the partial one permutes what
    the ranks of ``held`` leave of those of ``x`` (Freedman and Lane 1983). Models that lack a number are left out; NaN
    where fewer than five are left or a number is the same for all.
    """
    given = np.array([np.asarray(of, dtype=float) for of in (x, y, held)])
    given = given[:, np.isfinite(given).all(axis=0)]
    n = given.shape[1]
    nothing = {"value": np.nan, "p": np.nan}
    found: dict[str, Any] = {"n": n, "spearman": nothing, "kendall": nothing, "partial": nothing}
    if n < FEWEST or min(np.ptp(of) for of in given[:2]) == 0:
        return found
    a, b, c = (rankdata(of) for of in given)
    found |= {"spearman": _tested(a, b, _pearson, seed), "kendall": _tested(a, b, _tau, seed)}
    left = _without(a, c), _without(b, c)
    if n > FEWEST and min(float((of**2).sum()) for of in left) > ROUNDING:
        found["partial"] = _tested(*left, _pearson, seed)
    return found


def _tested(a: Vector, b: Vector, statistic: Callable[[Vector, Vector], Vector], seed: int) -> dict[str, float]:
    value = float(statistic(a[None], b)[0])
    shuffled = np.random.default_rng(seed).permuted(np.tile(a, (DRAWS, 1)), axis=1)
    beyond = int((np.abs(statistic(shuffled, b)) >= abs(value) - ROUNDING).sum())
    return {"value": value, "p": (1 + beyond) / (1 + DRAWS)}


def _pearson(many: Vector, one: Vector) -> Vector:
    """Of each line of (draws, n) values with (n,) others."""
    a, b = many - many.mean(axis=1, keepdims=True), one - one.mean()
    return np.asarray(a @ b / np.sqrt((a**2).sum(axis=1) * (b**2).sum()))


def _tau(many: Vector, one: Vector) -> Vector:
    """Kendall's tau-b of each line of (draws, n) values with (n,) others."""
    i, j = np.triu_indices(len(one), 1)
    b = np.sign(one[i] - one[j])
    untied = np.sqrt((np.sign(many[0, i] - many[0, j]) ** 2).sum() * (b**2).sum())  # as many in any order
    return (
        np.concatenate([np.sign(of[:, i] - of[:, j]) @ b for of in np.array_split(many, 1 + len(many) // 500)]) / untied
    )


def _without(ranks: Vector, held: Vector) -> Vector:
    """What a straight line through the ranks of ``held`` leaves of these."""
    a, c = ranks - ranks.mean(), held - held.mean()
    spread = float(c @ c)
    return np.asarray(a - c * (a @ c / spread) if spread > 0 else a)


def signs_of(found: Sequence[dict[str, Any]]) -> list[int]:
    """+1 or -1 for each value whose p is at most .05, else 0."""
    return [0 if not of["p"] <= 0.05 else int(np.sign(of["value"])) for of in found]
