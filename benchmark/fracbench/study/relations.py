"""How two numbers of models go together over the models of a board: rank correlations with permutation p."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from fracbench.ties import ROUNDING

DRAWS = 10_000
FEWEST, FEWEST_HELD = 5, 6  # models; of fewer than five no order at all has a p below .05
Vector = NDArray[np.float64]


def relations(robust: ArrayLike, aligned: ArrayLike, held: ArrayLike, seed: int = 0) -> dict[str, Any]:
    """Spearman's rho, Kendall's tau-b, and Pearson's partial correlation given ``held``, over ``n`` models.

    Each is ``{"value", "p"}``, two-sided by permutation of the models, (1 + b) / (1 + B); the partial one permutes what
    a line through ``held`` leaves of ``robust``, and fits the line anew each time (Freedman and Lane 1983): of ranks it
    would claim too often, since ranks of a number do not take out all that it brings. Models that lack a number are
    left out; NaN where fewer than five are left, for the partial one six, or a number is the same for all.
    """
    given = np.array([np.asarray(of, dtype=float) for of in (robust, aligned, held)])
    given = given[:, np.isfinite(given).all(axis=0)]
    n = given.shape[1]
    nothing = {"value": np.nan, "p": np.nan}
    found: dict[str, Any] = {"n": n, "spearman": nothing, "kendall": nothing, "partial": nothing}
    if n < FEWEST or min(np.ptp(of) for of in given[:2]) == 0:
        return found
    a, b = (rankdata(of) for of in given[:2])
    found |= {"spearman": _tested(a, b, _pearson, seed), "kendall": _tested(a, b, _tau, seed)}
    x, y, c = given
    left, other = _without(x[None], c), _without(y[None], c)[0]
    if n >= FEWEST_HELD and min(float((of**2).sum()) for of in (left, other)) > ROUNDING:
        found["partial"] = _tested(left[0], other, lambda many, one: _pearson(_without(many, c), one), seed)
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


def _without(many: Vector, held: Vector) -> Vector:
    """What a straight line through ``held`` leaves of each line of (draws, n) values."""
    a, c = many - many.mean(axis=1, keepdims=True), held - held.mean()
    spread = float(c @ c)
    return np.asarray(a - np.outer(a @ c / spread, c) if spread > 0 else a)
