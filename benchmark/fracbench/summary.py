"""From sample rows to leaderboard rows: pure functions of the tables of one run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import stats
from fracbench.schema import SCHEMA_VERSION, parse_epsilon
from fracbench.ties import tie_groups

HALF_LEVEL = 0.975  # each of two factors, so that their product holds at 95 %
MIN_DENOMINATOR = 0.05

FLAG_TEXT = {
    "zero_gradient": "the gradient is zero on over 5 % of clean images, so gradient attacks may be blind",
    "random": "predictions differ between calls; 20 were taken and one wrong answer counted",
    "black_box_stronger": "a black box broke images that no gradient attack broke, so gradients may be masked",
}


def _mean(values: pd.Series | np.ndarray) -> dict[str, Any]:
    given = np.asarray(values, dtype=float)
    return {"value": float(given.mean()) if len(given) else np.nan, "n": len(given)}


def _balanced(correct: pd.Series, images: pd.DataFrame) -> dict[str, Any]:
    """Balanced accuracy with an interval: the mean of its halves' bounds at 97.5 % each."""
    halves = {
        label: stats.proportion(correct[of.index], of["group"], HALF_LEVEL)
        for label, of in ((1, images[images.label == 1]), (0, images[images.label == 0]))
    }
    bounds = {key: float(np.mean([half[key] for half in halves.values()])) for key in ("value", "low", "high")}
    return {
        "balanced_accuracy": bounds | {"n": len(images)},
        "sensitivity": halves[1],
        "specificity": halves[0],
    }


def _worst_case(predictions: pd.DataFrame, images: pd.DataFrame, clean: pd.Series) -> pd.Series:
    """Correct on the clean image and under each of these rows."""
    worst = predictions.groupby("image")["correct"].all().reindex(images.index)
    return clean & worst.fillna(False).astype(bool)


def _calibrate(rows: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Raw, chance and ceiling means and (raw - chance) / (ceiling - chance); ratio of means, never per image."""
    raw, chance, ceiling = (float(rows[f"{kind}{metric}"].mean()) for kind in ("", "chance_", "ceiling_"))
    room = ceiling - chance
    calibrated = (raw - chance) / room if room >= MIN_DENOMINATOR else np.nan
    return {"raw": raw, "chance": chance, "ceiling": ceiling, "calibrated": calibrated, "n": len(rows)}


def with_references(alignment: pd.DataFrame, images: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Alignment rows with each metric's chance and, for the row's grid, its ceiling beside it."""
    rows = alignment.join(images[[f"chance_{metric}" for metric in metrics]], on="image")
    for metric in metrics:
        ceilings = pd.Series(np.nan, index=rows.index)
        for grid, of in rows.groupby("grid"):
            column = f"ceiling_{metric}_{grid}"
            if column in images:
                ceilings[of.index] = images[column].reindex(of["image"]).to_numpy()
        rows[f"ceiling_{metric}"] = ceilings
    return rows


def _alignment(rows: pd.DataFrame, metrics: Sequence[str], explainers: Sequence[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for explainer in explainers:
        mine = rows[rows.explainer == explainer]
        table[explainer] = {
            metric: {str(attack): _calibrate(of, metric) for attack, of in mine.groupby("attack", sort=False)}
            for metric in metrics
        }
    return table


def _panel_alignment(rows: pd.DataFrame, images: pd.DataFrame, panel: Sequence[str]) -> dict[str, Any]:
    """Calibrated relevance rank accuracy on clean images: sum of numerators over sum of denominators."""
    metric = "relevance_rank_accuracy"
    clean = rows[(rows.attack == "clean") & rows.explainer.isin(panel)]
    if clean.empty or metric not in clean:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    top = (clean[metric] - clean[f"chance_{metric}"]).groupby(clean.image).sum()
    bottom = (clean[f"ceiling_{metric}"] - clean[f"chance_{metric}"]).groupby(clean.image).sum()
    if bottom.sum() / len(clean) < MIN_DENOMINATOR:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": len(top)}
    low, high = stats.ratio(top, bottom, images.group.reindex(top.index))
    return {"value": float(top.sum() / bottom.sum()), "low": low, "high": high, "n": len(top)}


def strongest_attack(predictions: pd.DataFrame, attacks: Sequence[str]) -> pd.Series:
    """The attack at the reference epsilon with the lowest margin per image; ties by spec order."""
    predictions = predictions[(predictions.part == "") & ~predictions.ladder & predictions.attack.isin(attacks)]
    order = {name: i for i, name in enumerate(attacks)}
    ranked = predictions.assign(order=predictions.attack.map(order)).sort_values(["margin", "order"], kind="stable")
    return ranked.groupby("image").attack.first()


def aligned_hits(
    alignment: pd.DataFrame, strongest: pd.Series, fractured: pd.Index, panel: Sequence[str]
) -> pd.DataFrame:
    """(image, explainer) share of peaks on the fracture, on the clean image and on its strongest attempt."""
    hits = alignment.set_index(["image", "attack", "explainer"]).hit
    table = {}
    for explainer in panel:
        clean = hits.reindex([(i, "clean", explainer) for i in fractured]).to_numpy()
        attacked = hits.reindex([(i, strongest.get(i, ""), explainer) for i in fractured]).to_numpy()
        table[explainer] = clean * attacked
    return pd.DataFrame(table, index=fractured)


def _flags(run: Mapping[str, Any], predictions: pd.DataFrame, images: pd.DataFrame) -> list[dict[str, str]]:
    flags = []
    zero = predictions[predictions.attack == "clean"].zero_gradient
    if zero.mean() > 0.05:
        flags.append({"name": "zero_gradient", "text": f"{FLAG_TEXT['zero_gradient']} ({zero.sum():.0f})"})
    if run["random"]:
        flags.append({"name": "random", "text": FLAG_TEXT["random"]})
    reference = predictions[~predictions.carried & (predictions.attack != "clean") & ~predictions.ladder]
    named = reference.part.where(reference.part != "", reference.attack)
    parents = reference[reference.part != ""].attack.unique()
    leaves = reference[~((reference.part == "") & reference.attack.isin(parents))].assign(leaf=named)
    clean = predictions[predictions.attack == "clean"].set_index("image").correct
    black = leaves.leaf.isin(run["black_box"])
    if black.any() and (~black).any():
        white_survives = leaves[~black].groupby("image").correct.all()
        black_breaks = ~leaves[black].groupby("image").correct.all()
        only_black = int((clean & white_survives & black_breaks).sum())
        if only_black >= 3 and only_black >= 0.02 * len(images):
            flags.append({"name": "black_box_stronger", "text": f"{FLAG_TEXT['black_box_stronger']} ({only_black})"})
    return flags


def _curve(predictions: pd.DataFrame, images: pd.DataFrame, clean: pd.Series, run: Mapping[str, Any]) -> list[Any]:
    rungs = predictions[predictions.ladder]
    curve = []
    for written in run["ladder"]:
        of = rungs[np.isclose(rungs.epsilon, parse_epsilon(written), rtol=1e-9, atol=0)]
        if of.image.nunique() == len(images):
            robust = _balanced(_worst_case(of, images, clean), images)["balanced_accuracy"]
            curve.append({"epsilon": written, "balanced_accuracy": robust["value"], "n": robust["n"]})
    return curve


def curve_area(curve: Sequence[Mapping[str, Any]]) -> float:
    """Trapezoids over log2(epsilon), divided by the total width: 1 for a model nothing breaks."""
    if len(curve) < 2:
        return float("nan")
    x = np.log2([parse_epsilon(point["epsilon"]) for point in curve])
    y = np.asarray([point["balanced_accuracy"] for point in curve])
    return float(((y[:-1] + y[1:]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))


def summarise(run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The leaderboard row of one run. ``run`` is ``run.json``; ``tables`` as the store names them."""
    images = tables["images"].set_index("image")
    predictions = tables["predictions"]
    attacks, panel, metrics = run["attacks"], run["panel"], run["metrics"]
    failed = [cell for cell in run["cells"] if cell["status"] == "failed"]
    unsupported = sorted(
        {c["explainer"] for c in run["cells"] if c["status"] == "unsupported" and c["explainer"] in panel}
    )

    clean_rows = predictions[predictions.attack == "clean"].set_index("image").reindex(images.index)
    clean_correct = clean_rows.correct.fillna(False).astype(bool)
    reference = predictions[(predictions.part == "") & ~predictions.ladder & predictions.attack.isin(attacks)]
    robust_correct = _worst_case(reference, images, clean_correct)

    annotated = images.index[(images.label == 1) & images.annotated]
    alignment = tables["alignment"]
    scored = alignment[alignment.image.isin(annotated)]
    scores = [*metrics, "hit"]
    rows = with_references(scored, images, scores)
    hits = aligned_hits(scored, strongest_attack(reference, attacks), annotated, panel)
    right = hits.mul(robust_correct[annotated].astype(float), axis=0)
    aligned = right.mean(axis=1, skipna=False)
    sensitivity = stats.proportion(aligned, images.group[annotated], HALF_LEVEL)
    normal = images.index[images.label == 0]
    robust_normal = robust_correct[normal].astype(float)
    specificity = stats.proportion(robust_normal, images.group[normal], HALF_LEVEL)
    headline = {key: sensitivity[key] * specificity[key] for key in ("value", "low", "high")}

    curve = _curve(predictions, images, clean_correct, run)
    flags = _flags(run, predictions, images)
    reasons = [f"flag: {flag['name']}" for flag in flags]
    reasons += [f"{len(failed)} failed cells"] if failed else []
    reasons += [f"{name} is not supported" for name in unsupported]
    reasons += ["custom run"] if run["custom"] else []
    if not np.isfinite(headline["value"]) and not reasons:
        reasons.append("no headline: no annotated fractured or no normal images")
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: run[key] for key in ("submission", "title", "authors", "control", "training", "spec", "spec_hash")},
        "trained_on": run["training"]["data"],
        "note": run["resolved_spec"]["note"],
        **{key: run[key] for key in ("dataset", "fingerprint", "split", "threat", "epsilon", "custom", "panel")},
        **{key: run[key] for key in ("seconds", "passes", "device")},
        "ranked": not reasons,
        "unranked_because": reasons,
        "flags": flags,
        "n": {
            "images": len(images),
            "fractured": int((images.label == 1).sum()),
            "normal": len(normal),
            "annotated": len(annotated),
            "groups": int(images.group.nunique()),
        },
        "headline": headline,
        "factors": {"aligned_sensitivity": sensitivity, "robust_specificity": specificity},
        "contributions": {
            "groups": [str(group) for group in images.group[[*annotated, *normal]]],
            "fractured": [True] * len(annotated) + [False] * len(normal),
            "values": [*aligned.tolist(), *robust_normal.tolist()],
        },
        "headline_per_explainer": {name: float(right[name].mean()) * specificity["value"] for name in panel},
        "clean": _balanced(clean_correct.astype(float), images)
        | {"auroc": {"value": stats.auroc(clean_rows.fracture_margin, images.label), "n": len(images)}},
        "robust": _balanced(robust_correct.astype(float), images),
        "attacks": _attacks(reference, predictions, images, clean_correct, attacks),
        "curve": curve,
        "curve_area": curve_area(curve),
        "alignment": _alignment(rows, scores, run["explainers"]),
        "calibrated_alignment": _panel_alignment(rows, images, panel),
    }


def _attacks(
    reference: pd.DataFrame,
    predictions: pd.DataFrame,
    images: pd.DataFrame,
    clean: pd.Series,
    attacks: Sequence[str],
) -> dict[str, Any]:
    """Robust accuracy of each attack and of each part of an ensemble, as ``attack`` or ``attack/part``."""
    table = {}
    parts = predictions[(predictions.part != "") & ~predictions.ladder]
    named = [(name, reference[reference.attack == name]) for name in attacks]
    named += [(f"{attack}/{part}", of) for (attack, part), of in parts.groupby(["attack", "part"], sort=False)]
    for name, of in named:
        correct = _worst_case(of, images, clean).astype(float)
        robust = _balanced(correct if len(of) else correct * np.nan, images)
        table[name] = {
            "robust_balanced_accuracy": robust["balanced_accuracy"]["value"],
            "sensitivity": robust["sensitivity"]["value"],
            "specificity": robust["specificity"]["value"],
            "n": int(of.image.nunique()),
        }
    return table


def board_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Rows are compared within one spec as it was run, one split, and the same bytes of data."""
    return row["spec"], row["split"], row["fingerprint"], row["spec_hash"]


def rank(summaries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows sorted within their board, with ``rank`` and ``tie_group`` (None where unranked).

    Equal headlines share a rank; entries of one tie group cannot be told apart from its leader.
    """

    def value(row: Mapping[str, Any]) -> float:
        headline = row["headline"]["value"]
        return -1.0 if headline is None or np.isnan(headline) else float(headline)

    ordered = sorted(summaries, key=lambda r: (board_of(r), not r["ranked"], -value(r), r["submission"]))
    result = []
    for _, rows in itertools.groupby(ordered, key=board_of):
        board = list(rows)
        rivals = [row for row in board if row["ranked"]]
        groups = iter(tie_groups([row["contributions"] for row in rivals]))
        for row in board:
            better = sum(value(other) > value(row) for other in rivals)
            place = (
                {"rank": better + 1, "tie_group": next(groups)} if row["ranked"] else {"rank": None, "tie_group": None}
            )
            result.append({**row, **place})
    return result
