"""From sample rows to leaderboard rows: pure functions of the tables of one run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import alignment_scores, robust_scores, stats, subgroups
from fracbench.flags import flags_of, unanswered
from fracbench.robust_scores import HALF_LEVEL, balanced, worst_case
from fracbench.schema import INSTANCES, SCHEMA_VERSION, parse_epsilon
from fracbench.ties import tie_groups


def strongest_attack(predictions: pd.DataFrame, attacks: Sequence[str]) -> pd.Series:
    """The attack with the lowest margin per image, of rows of the reference threat; ties by spec order."""
    predictions = predictions[predictions.part == ""]
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


def architecture_of(model: Mapping[str, Any]) -> str:
    """The network a model plugin was asked for, else the plugin's own name."""
    asked = model.get("params", {}).get("architecture")
    return str(asked or model.get("name", ""))


def summarise(run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The leaderboard row of one run. ``run`` is ``run.json``; ``tables`` as the store names them."""
    images = tables["images"].set_index("image")
    predictions = tables["predictions"]
    attacks, panel, metrics = run["attacks"], run["panel"], run["metrics"]
    aimed = (run["resolved_spec"]["explanation_attack"] or {"name": None})["name"]
    failed = [cell for cell in run["cells"] if cell["status"] == "failed"]
    unsupported = sorted(
        {
            c["explainer"]
            for c in run["cells"]
            if c["status"] == "unsupported" and c["explainer"] in panel and c["attack"] != aimed
        }
    )

    clean_rows = predictions[predictions.attack == "clean"].set_index("image").reindex(images.index)
    clean_correct = clean_rows.correct.fillna(False).astype(bool)
    attacked = robust_scores.under(predictions, run["threat"], parse_epsilon(run["epsilon"]))
    sent = attacked[robust_scores.of_third_parties(attacked)]
    attacked = attacked.drop(sent.index)
    reference = attacked[attacked.part == ""]
    robust_correct = worst_case(reference, images, clean_correct)
    outlives = sent.groupby("image").correct.all().reindex(images.index, fill_value=True).astype(bool)
    worst_correct = robust_correct & outlives

    annotated = images.index[(images.label == 1) & images.annotated]
    alignment = tables["alignment"]
    scored = alignment[alignment.image.isin(annotated)]
    scores = [*metrics, *INSTANCES, "hit"]
    rows = alignment_scores.with_references(scored, images, scores)
    hits = aligned_hits(scored, strongest_attack(reference, attacks), annotated, panel)
    right = hits.mul(worst_correct[annotated].astype(float), axis=0)
    aligned = right.mean(axis=1, skipna=False)
    sensitivity = stats.proportion(aligned, images.group[annotated], HALF_LEVEL)
    normal = images.index[images.label == 0]
    robust_normal = worst_correct[normal].astype(float)
    specificity = stats.proportion(robust_normal, images.group[normal], HALF_LEVEL)
    headline = {key: sensitivity[key] * specificity[key] for key in ("value", "low", "high")}

    distances = robust_scores.adversarial_distances(predictions.drop(sent.index), images, run["threat"])
    curve = robust_scores.curve(predictions, images, clean_correct, run["ladder"])
    corrupted = run["resolved_spec"]["corruptions"] or {"kinds": [], "severities": []}
    kinds = [ref["name"] for ref in corrupted["kinds"]]
    spent = robust_scores.spent_by([cell for cell in run["cells"] if cell["kind"] in ("attack", "ladder")])
    flags = flags_of(
        clean_rows, attacked, random=run["random"], black_box=run["black_box"],
        symptoms=[cell["symptoms"] for cell in run["cells"] if cell["kind"] == "symptoms" and "symptoms" in cell],
    )  # fmt: skip
    reasons = [f"flag: {name}" for name in unanswered(flags)]
    reasons += [f"{len(failed)} failed cells"] if failed else []
    reasons += [f"{name} is not supported" for name in unsupported]
    reasons += ["custom run"] if run["custom"] else []
    reasons += ["scored by Quantus"] if run["metrics_backend"] == "quantus" else []
    if not np.isfinite(headline["value"]) and not reasons:
        reasons.append("no headline: no annotated fractured or no normal images")
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: run[key] for key in ("submission", "title", "authors", "control", "training", "spec", "spec_hash")},
        "trained_on": run["training"]["data"],
        "architecture": architecture_of(run["model"]),
        "parameters": next((cell["parameters"] for cell in run["cells"] if "parameters" in cell), None),
        "overlap": run["overlap"],
        "note": run["resolved_spec"]["note"],
        "home_split": run["resolved_spec"]["split"],
        **{key: run[key] for key in ("dataset", "fingerprint", "split", "threat", "epsilon", "custom", "panel")},
        **{key: run[key] for key in ("metrics_backend", "seconds", "passes", "device", "finished", "reported")},
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
        "clean": balanced(clean_correct.astype(float), images)
        | {"auroc": stats.auroc_interval(clean_rows.fracture_margin, images.label, images.group)},
        "robust": balanced(robust_correct.astype(float), images)
        | robust_scores.success(robust_correct, images, clean_correct),
        "subgroups": subgroups.table(
            images, clean_rows.fracture_margin, clean_correct, robust_correct, run["resolved_spec"]["subgroups"]
        ),
        "worst_case": balanced(worst_correct.astype(float), images),
        "third_party": robust_scores.third_party(sent, robust_correct),
        "attacks": robust_scores.attack_table(attacked, images, clean_correct, attacks, spent),
        "curve": curve,
        "curve_area": robust_scores.curve_area(curve),
        "ladder": spent.get("ladder", {}),
        "adversarial_epsilon": robust_scores.median_adversarial_epsilon(distances, images),
        "at_specificity": robust_scores.sensitivity_at_specificity(clean_rows.fracture_margin, reference, images),
        "further_threats": [
            robust_scores.further_threat(predictions, images, clean_correct, run, of) for of in run["further_threats"]
        ],
        "corruptions": robust_scores.corruptions(predictions, images, kinds, corrupted["severities"]),
        "alignment": alignment_scores.table(rows, scores, run["explainers"]),
        "alignment_by_outcome": alignment_scores.by_outcome(rows, scores, run["explainers"], clean_correct, reference),
        "calibrated_alignment": alignment_scores.panel(rows[rows.attack == "clean"], images, panel),
        "robust_alignment": alignment_scores.under_explanation_attack(rows, images, predictions, aimed, panel),
        "blank_maps": alignment_scores.blank_maps(scored),
        **alignment_scores.beside(alignment, images),
    }


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
