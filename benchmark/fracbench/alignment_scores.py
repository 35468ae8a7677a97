"""What explanations look at, from alignment rows: pure functions, with n, chance and ceiling beside each number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import stats
from fracbench.schema import FAITHFULNESS, SPREAD, STABILITY

MIN_DENOMINATOR = 0.05
KINDS = ("", "chance_", "ceiling_")
HEADLINE_METRIC = "relevance_rank_accuracy"


def with_references(alignment: pd.DataFrame, images: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Alignment rows with each metric's chance and ceiling beside it, for the row's grid where they depend on it."""
    rows = alignment.copy()
    for kind, metric in itertools.product(("chance", "ceiling"), metrics):
        values = pd.Series(np.nan, index=rows.index)
        for grid, of in rows.groupby("grid"):
            column = next((c for c in (f"{kind}_{metric}", f"{kind}_{metric}_{grid}") if c in images), None)
            if column:
                values[of.index] = images[column].reindex(of["image"]).to_numpy()
        rows[f"{kind}_{metric}"] = values
    return rows


def _calibrated(raw: float, chance: float, ceiling: float, n: int) -> dict[str, Any]:
    """Means and (raw - chance) / (ceiling - chance); ratio of means, never per image."""
    room = ceiling - chance
    calibrated = (raw - chance) / room if room >= MIN_DENOMINATOR else np.nan
    return {"raw": raw, "chance": chance, "ceiling": ceiling, "calibrated": calibrated, "n": n}


def table(rows: pd.DataFrame, metrics: Sequence[str], explainers: Sequence[str]) -> dict[str, Any]:
    """Explainer to metric to attack (or ``clean``) to calibrated scores."""
    found: dict[str, Any] = {explainer: {metric: {} for metric in metrics} for explainer in explainers}
    columns = [f"{kind}{metric}" for metric in metrics for kind in KINDS]
    mine = rows[rows.explainer.isin(explainers)]
    groups = mine[columns].astype(float).groupby([mine.explainer, mine.attack], sort=False)
    means, sizes = groups.mean(), groups.size()
    for (explainer, attack), values in means.iterrows():
        for metric in metrics:
            raw, chance, ceiling = (float(values[f"{kind}{metric}"]) for kind in KINDS)
            n = int(sizes[explainer, attack])
            found[explainer][metric][str(attack)] = _calibrated(raw, chance, ceiling, n)
    return found


def by_outcome(
    rows: pd.DataFrame,
    metrics: Sequence[str],
    explainers: Sequence[str],
    clean: pd.Series,
    predictions: pd.DataFrame,
) -> dict[str, Any]:
    """The same table of clean images that are read right, and of attacked ones that survived and that flipped.

    ``clean`` says by image whether it is right without attack, ``predictions`` holds the rows of whole attacks.
    """
    right = clean.reindex(rows.image).fillna(False).to_numpy(bool)
    correct = predictions.drop_duplicates(["image", "attack"]).set_index(["image", "attack"]).correct.astype(bool)
    after = correct.reindex(pd.MultiIndex.from_frame(rows[["image", "attack"]]))
    attacked, survived = after.notna().to_numpy(), after.fillna(False).to_numpy(bool)
    parts = {
        "true_positives": right & (rows.attack == "clean").to_numpy(),
        "survived": right & attacked & survived,
        "flipped": right & attacked & ~survived,
    }
    return {name: table(rows[of], metrics, explainers) for name, of in parts.items()}


def panel(rows: pd.DataFrame, images: pd.DataFrame, explainers: Sequence[str]) -> dict[str, Any]:
    """Calibrated relevance rank accuracy of a panel: sum of numerators over sum of denominators, with an interval."""
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan}
    of = rows[rows.explainer.isin(explainers)]
    if of.empty or HEADLINE_METRIC not in of:
        return nothing | {"n": 0}
    top, bottom = _numerators(of)
    if bottom.sum() / len(of) < MIN_DENOMINATOR:
        return nothing | {"n": len(top)}
    low, high = stats.ratio(top, bottom, images.group.reindex(top.index))
    return {"value": float(top.sum() / bottom.sum()), "low": low, "high": high, "n": len(top)}


def _numerators(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """What a calibrated score is made of, by image, summed over explainers: score and ceiling, both less chance."""
    chance = rows[f"chance_{HEADLINE_METRIC}"]
    top, ceiling = rows[HEADLINE_METRIC] - chance, rows[f"ceiling_{HEADLINE_METRIC}"] - chance
    return top.groupby(rows.image).sum(), ceiling.groupby(rows.image).sum()


def panel_sums(alignment: pd.DataFrame, images: pd.DataFrame, explainers: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """By annotated fractured image, what ``panel`` divides: its calibrated score is their sums' ratio."""
    annotated = images.index[(images.label == 1) & images.annotated]
    chosen = alignment.image.isin(annotated) & (alignment.attack == "clean") & alignment.explainer.isin(explainers)
    return _numerators(with_references(alignment[chosen], images, [HEADLINE_METRIC]))


def under_explanation_attack(
    rows: pd.DataFrame, images: pd.DataFrame, predictions: pd.DataFrame, attack: str | None, explainers: Sequence[str]
) -> dict[str, Any] | None:
    """Robust alignment: what a panel keeps of its alignment where only the explanation is attacked, on the same images.

    ``attempted`` images were attacked, and of those ``n`` are answered as before. None without such an attack.
    """
    attacked = rows[rows.attack == attack]
    if attack is None or attacked.empty:
        return None
    before = rows[(rows.attack == "clean") & rows.image.isin(attacked.image)]
    halves = {"clean": before, "attacked": attacked}
    return {
        "attack": attack,
        "attempted": int((predictions.threat == "explanation").sum()),
        "n": int(attacked.image.nunique()),
        **{name: panel(of, images, explainers) for name, of in halves.items()},
        "hit": {name: float(of[of.explainer.isin(explainers)].hit.mean()) for name, of in halves.items()},
    }


def means(rows: pd.DataFrame, columns: Sequence[str], by: Sequence[str]) -> dict[str, Any]:
    """Mean of each column and its n, nested by the values of ``by``; values that are missing are left out."""
    found: dict[str, Any] = {}
    for key, of in rows.groupby(list(by), sort=False):
        place = found
        for part in key:
            place = place.setdefault(str(part), {})
        place |= {name: {"value": float(of[name].mean()), "n": int(of[name].notna().sum())} for name in columns}
    return found


def blank_maps(alignment: pd.DataFrame) -> dict[str, Any]:
    """Explainer to attack (or ``clean``) to how many of ``n`` maps are ``blank``."""
    found: dict[str, Any] = {}
    for (explainer, attack), of in alignment.groupby(["explainer", "attack"], sort=False).blank:
        found.setdefault(explainer, {})[attack] = {"blank": int(of.sum()), "n": len(of)}
    return found


def beside(alignment: pd.DataFrame, images: pd.DataFrame) -> dict[str, Any]:
    """Columns of their own: stability under attack, faithfulness, and where the mass lies on images of each class."""
    clean, attacked = alignment[alignment.attack == "clean"], alignment[alignment.attack != "clean"]
    of_class = clean.image.map(images.label).map({1: "fractured", 0: "normal"})
    sampled = clean[clean[list(FAITHFULNESS)].notna().any(axis=1)]
    return {
        "stability": means(attacked, STABILITY, ["explainer", "attack"]),
        "faithfulness": means(sampled, FAITHFULNESS, ["explainer"]),
        "spread": means(clean.assign(of_class=of_class), SPREAD, ["of_class", "explainer"]),
    }
