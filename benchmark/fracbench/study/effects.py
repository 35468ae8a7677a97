"""Differences within training pairs, and what they say together: the pair is the unit, never the image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from scipy.special import nctdtrinc

from fracbench import stats
from fracbench.study.studied import CLEAN
from fracbench.study.twins import Pair
from fracbench.ties import ROUNDING

DRAWS = 20_000
EXACT = 14  # pairs up to which all swaps are listed
POWER = 0.8


@dataclass(frozen=True)
class Asked:
    """What is compared: raw scores of ``metric`` on the maps of ``explainers``, under ``attack`` or ``clean``.

    ``images`` keeps some of them alone; None keeps all that are annotated.
    """

    explainers: tuple[str, ...]
    metric: str
    attack: str = CLEAN
    images: frozenset[str] | None = None


def within(pair: Pair, asked: Asked) -> dict[str, Any]:
    """Adversarial less standard on the same images: ``value``, 95 % interval over groups of images, ``n`` images.

    NaN where an image is missing for one of the two on all of them.
    """
    both = pd.concat(
        [model.raw(asked.explainers, asked.metric, asked.attack) for model in (pair.standard, pair.adversarial)],
        axis=1, keys=("standard", "adversarial"), join="inner",
    ).dropna()  # fmt: skip
    if asked.images is not None:
        both = both[both.index.isin(asked.images)]
    change = both.adversarial - both.standard
    groups = pair.standard.images.group.reindex(both.index)
    low, high = stats.ratio(change, np.ones(len(change)), groups) if len(change) else (np.nan, np.nan)
    return {
        "family": pair.family, "seed": pair.seed, "standard": pair.standard.name, "adversarial": pair.adversarial.name,
        "raw": {name: float(both[name].mean()) for name in both}, "value": float(change.mean()), "low": low,
        "high": high, "n": len(change),
    }  # fmt: skip


def together(changes: Sequence[float], families: Sequence[str], level: float = 0.05, seed: int = 0) -> dict[str, Any]:
    """One number for all training pairs, each architecture counting alike however many seeds it has.

    ``value``, the mean over architectures of their mean change; ``low`` and ``high`` at 1 - ``level``, by Student's t
    over pairs, as if pairs of one architecture were no more alike than others; ``p``, two-sided, where the two models
    of a pair are swapped or not: all ways up to 14 pairs, else (1 + b) / (1 + B); ``least_p``, the smallest that so
    many pairs that changed can have; ``effect``, the mean in standard deviations of a pair's change (Cohen's d_z), with
    ``effect_low`` and ``effect_high`` of the noncentral t; ``detectable``, the smallest change that a t test at this
    level finds with a power of 80 % if pairs scatter as these do.
    """
    given = np.asarray(changes, dtype=float)
    kept = np.isfinite(given)
    given, of = given[kept], np.asarray(families, dtype=object)[kept]
    k = len(given)
    nothing = dict.fromkeys(("value", "low", "high", "p", "least_p", "effect", "effect_low", "effect_high",
                             "detectable"), np.nan)  # fmt: skip
    if k == 0:
        return nothing | {"pairs": 0, "families": 0, "changed": 0}
    weights = _weights(of)
    value = float(weights @ given)
    changed = int((np.abs(given) > ROUNDING).sum())
    found = nothing | {"value": value, "pairs": k, "families": len(set(of)), "changed": changed,
                       "least_p": min(1.0, 2 / 2**changed)}  # fmt: skip
    found["p"] = _swap_p(given, weights, seed)
    if k > 1 and (spread := float(np.std(given, ddof=1))) > ROUNDING:
        scale = float(np.sqrt((weights**2).sum()))
        error = spread * scale
        quantile = scipy_stats.t.ppf([1 - level / 2, POWER], k - 1)
        found |= {"low": value - quantile[0] * error, "high": value + quantile[0] * error, "effect": value / spread,
                  "detectable": float(quantile.sum()) * error}  # fmt: skip
        low, high = scale * nctdtrinc(k - 1, [1 - level / 2, level / 2], value / error)
        found |= {"effect_low": float(low), "effect_high": float(high)}
    return found


def _weights(families: NDArray[np.object_]) -> NDArray[np.float64]:
    """Of each pair, so that architectures count alike."""
    names, index, counts = np.unique(families.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(names) * counts[index]))


def _swap_p(changes: NDArray[np.float64], weights: NDArray[np.float64], seed: int) -> float:
    """Under the hypothesis that training changes nothing, either model of a pair could be called the robust one."""
    parts, k = weights * changes, len(changes)
    observed = abs(parts.sum()) - ROUNDING
    if k <= EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=k)))
        return float((np.abs(signs @ parts) >= observed).mean())
    signs = np.random.default_rng(seed).choice((1.0, -1.0), (DRAWS, k))
    return float((1 + (np.abs(signs @ parts) >= observed).sum()) / (1 + DRAWS))
