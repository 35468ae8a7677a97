"""How well a model resists, from prediction rows: pure functions, positives and negatives always apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import stats
from fracbench.schema import CORRUPTIONS, THIRD_PARTY, parse_epsilon, with_rounding

HALF_LEVEL = 0.975  # each of two factors, so that what is made of both holds at 95 %
TARGET_SPECIFICITY = 0.9


def under(predictions: pd.DataFrame, norm: str, epsilon: float) -> pd.DataFrame:
    """Rows of the attacks in one ball, parts of ensembles among them; rows of the ladder are others."""
    there = (predictions.threat == norm) & np.isclose(predictions.epsilon, epsilon, rtol=1e-9, atol=0)
    return predictions[there & ~predictions.ladder]


def whole_attacks(predictions: pd.DataFrame, norm: str, epsilon: float) -> pd.DataFrame:
    """Of these the rows of whole attacks of the benchmark: no part of an ensemble, nothing that third parties sent."""
    attacked = under(predictions, norm, epsilon)
    return attacked[~of_third_parties(attacked) & (attacked.part == "")]


def balanced(correct: pd.Series, images: pd.DataFrame) -> dict[str, Any]:
    """Balanced accuracy with an interval, the mean of its halves' bounds at 97.5 % each, and the halves."""
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


def worst_case(predictions: pd.DataFrame, images: pd.DataFrame, clean: pd.Series) -> pd.Series:
    """Correct on the clean image and under each of these rows; an image without a row counts as broken."""
    worst = predictions.groupby("image")["correct"].all().reindex(images.index)
    return clean & worst.fillna(False).astype(bool)


def success(correct: pd.Series, images: pd.DataFrame, clean: pd.Series) -> dict[str, Any]:
    """What an attack achieved among images that are correct without it.

    ``attack_success_rate`` of all; ``missed_fracture_rate`` of the fractured, read as normal under attack;
    ``false_alarm_rate`` of the normal, read as fractured.
    """
    flipped = ~correct.astype(bool)
    chosen = {"attack_success_rate": clean, "missed_fracture_rate": clean & (images.label == 1),
              "false_alarm_rate": clean & (images.label == 0)}  # fmt: skip
    return {name: stats.proportion(flipped[of].astype(float), images.group[of]) for name, of in chosen.items()}


def attack_table(
    predictions: pd.DataFrame,
    images: pd.DataFrame,
    clean: pd.Series,
    attacks: Sequence[str],
    spent: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Robust accuracy, success and cost of each attack, and after each part of an ensemble as ``attack/part``.

    A part attempts what no part before it broke; ``n`` is how many images it did attempt.
    """
    whole = predictions[predictions.part == ""]
    parts = predictions[predictions.part != ""]
    named = [(name, whole[whole.attack == name], clean) for name in attacks]
    for attack, of in parts.groupby("attack", sort=False):
        before = clean
        for part, rows in of.groupby("part", sort=False):
            named.append((f"{attack}/{part}", rows, before))
            before = worst_case(rows, images, before)
    table = {}
    for name, of, before in named:
        correct = worst_case(of, images, before)
        robust = balanced(correct.astype(float) if len(of) else correct * np.nan, images)
        table[name] = {
            "robust_balanced_accuracy": robust["balanced_accuracy"]["value"],
            "sensitivity": robust["sensitivity"]["value"],
            "specificity": robust["specificity"]["value"],
            **(success(correct, images, clean) if len(of) else {}),
            **spent.get(name, {}),
            "n": int(of.image[~of.carried.astype(bool)].nunique()),
        }
    return table


def spent_by(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Passes per image and seconds of each attack, ensemble part and ladder, summed over these cells of a run.

    A ladder that two attacks climbed costs what both took.
    """
    sums: dict[str, dict[str, float]] = {}
    batches = set()
    for cell in cells:
        if cell["status"] != "done":
            continue
        name = "ladder" if cell["kind"] == "ladder" else cell["attack"]
        for key, of in {name: cell, **{f"{name}/{part}": of for part, of in cell.get("parts", {}).items()}}.items():
            mine = sums.setdefault(key, {"forward": 0.0, "backward": 0.0, "seconds": 0.0, "images": 0.0})
            for field in ("forward", "backward", "seconds"):
                mine[field] += of[field]
            mine["images"] += cell["images"] if (key, cell["batch"]) not in batches else 0
            batches.add((key, cell["batch"]))
    return {
        name: {
            "forward_per_image": of["forward"] / of["images"],
            "backward_per_image": of["backward"] / of["images"],
            "seconds": of["seconds"],
        }
        for name, of in sums.items()
    }


def further_threat(
    predictions: pd.DataFrame, images: pd.DataFrame, clean: pd.Series, run: Mapping[str, Any], of: Mapping[str, str]
) -> dict[str, Any]:
    """Robust accuracy under another threat model than the reference: worst case over its attacks."""
    rows = under(predictions, of["norm"], parse_epsilon(of["epsilon"]))
    correct = worst_case(rows, images, clean)
    cells = [c for c in run["cells"] if (c["kind"], c["norm"], c["epsilon"]) == ("further", of["norm"], of["epsilon"])]
    attacks = list(dict.fromkeys(cell["attack"] for cell in cells))
    table = attack_table(rows, images, clean, attacks, spent_by(cells))
    return {**of, **balanced(correct.astype(float), images), **success(correct, images, clean), "attacks": table}


def corruptions(
    predictions: pd.DataFrame, images: pd.DataFrame, kinds_of: Sequence[str], severities: Sequence[int]
) -> dict[str, Any]:
    """Balanced accuracy of each kind at each severity, its mean per kind, and the mean of those.

    Undefined where an image has no row: a corruption that failed must not make the others the average.
    """
    rows = predictions[predictions.threat == CORRUPTIONS].set_index("image")
    kinds: dict[str, Any] = {}
    for kind in kinds_of:
        mine = rows[rows.attack == kind]
        by_severity = {
            str(severity): _plain(mine[mine.epsilon == severity].correct.reindex(images.index).astype(float), images)
            for severity in severities
        }
        kinds[kind] = {"by_severity": by_severity, **_averaged(list(by_severity.values()))}
    return {"kinds": kinds, **_averaged(list(kinds.values())), "n": len(images)}


def _plain(correct: pd.Series, images: pd.DataFrame) -> dict[str, float]:
    sensitivity, specificity = (float(correct[images.label == label].mean(skipna=False)) for label in (1, 0))
    return {"balanced_accuracy": (sensitivity + specificity) / 2, "sensitivity": sensitivity,
            "specificity": specificity}  # fmt: skip


def _averaged(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = ("balanced_accuracy", "sensitivity", "specificity")
    return {name: float(np.mean([row[name] for row in rows])) if rows else np.nan for name in names}


def third_party(sent: pd.DataFrame, robust: pd.Series) -> list[dict[str, Any]]:
    """For each sender the images sent, and how many broke what every attack, and who came before, had spared."""
    table, left = [], robust.copy()
    for attack, rows in sent.groupby("attack", sort=False):
        broken = rows[~rows.correct.astype(bool)].image.unique()
        by = str(attack).removeprefix(f"{THIRD_PARTY}/")
        table.append({"by": by, "images": int(rows.image.nunique()), "lowered": int(left[broken].sum())})
        left[broken] = False
    return table


def of_third_parties(predictions: pd.DataFrame) -> pd.Series:
    """(rows,) bool: answers to images that third parties sent, which come after all that a run does."""
    return predictions.attack.str.startswith(f"{THIRD_PARTY}/")


def carried_over(predictions: pd.DataFrame, threat: str) -> pd.DataFrame:
    """The rows, where those of the ladder know of what ran after it, such as the adaptive attack.

    A rung that an image survived is broken, and carried, where something adversarial is known within its epsilon.
    """
    nearest = predictions.image.map(_nearest(predictions, threat))
    late = predictions.ladder & predictions.correct & (nearest <= predictions.epsilon.map(with_rounding))
    rows = predictions.copy()
    rows.loc[late, ["correct", "carried"]] = [False, True]
    rows.loc[late, ["margin", "distance", "adversarial_distance"]] = np.nan
    return rows


def curve(predictions: pd.DataFrame, images: pd.DataFrame, clean: pd.Series, rungs: Sequence[str]) -> list[Any]:
    """Balanced accuracy, sensitivity and specificity at each rung that all images have reached."""
    on_ladder = predictions[predictions.ladder]
    points = []
    for written in rungs:
        of = on_ladder[np.isclose(on_ladder.epsilon, parse_epsilon(written), rtol=1e-9, atol=0)]
        if of.image.nunique() == len(images):
            robust = balanced(worst_case(of, images, clean).astype(float), images)
            values = {name: robust[name]["value"] for name in ("balanced_accuracy", "sensitivity", "specificity")}
            points.append({"epsilon": written, **values, "n": len(images)})
    return points


def curve_area(points: Sequence[Mapping[str, Any]]) -> float:
    """Trapezoids over log2(epsilon), divided by the total width: 1 for a model nothing breaks."""
    if len(points) < 2:
        return float("nan")
    x = np.log2([parse_epsilon(point["epsilon"]) for point in points])
    y = np.asarray([point["balanced_accuracy"] for point in points])
    return float(((y[:-1] + y[1:]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))


def adversarial_distances(predictions: pd.DataFrame, images: pd.DataFrame, threat: str) -> pd.Series:
    """For each image the distance of the nearest adversarial image that any cell found.

    0 where the clean image is misclassified, infinite where none was found. It bounds the true distance from above.
    """
    return _nearest(predictions, threat).reindex(images.index).astype(float).fillna(np.inf)


def _nearest(predictions: pd.DataFrame, threat: str) -> pd.Series:
    mine = predictions[predictions.threat.isin((threat, "clean"))]
    return mine.groupby("image").adversarial_distance.min()


def robust_at(distances: pd.Series, images: pd.DataFrame, epsilon: float) -> dict[str, Any]:
    """Balanced accuracy at any epsilon: an image counts as robust where nothing adversarial was found that near."""
    return balanced((distances > with_rounding(epsilon)).astype(float), images)


def median_adversarial_epsilon(distances: pd.Series, images: pd.DataFrame) -> dict[str, Any]:
    """Median distance of each class, misclassified images at 0; undefined where most were never broken."""
    table = {}
    for name, label in (("fractured", 1), ("normal", 0)):
        of = distances[images.label == label]
        table[name] = {"median": float(of.median()), "never_broken": int(np.isinf(of).sum()), "n": len(of)}
    return table


def sensitivity_at_specificity(
    fracture_margin: pd.Series, attacked: pd.DataFrame, images: pd.DataFrame, target: float = TARGET_SPECIFICITY
) -> dict[str, Any]:
    """Sensitivity, clean and under attack, at the lowest threshold that keeps a clean specificity of ``target``.

    The threshold is set on the normal images evaluated here, so that models of any calibration are read alike;
    ``specificity`` is what it keeps. Under attack an image counts with its lowest margin over all attacks.
    """
    normal, fractured = fracture_margin[images.label == 0].dropna(), images.index[images.label == 1]
    if normal.empty or not len(fractured):
        return {"threshold": np.nan, "specificity": np.nan, "clean": np.nan, "robust": np.nan, "n": len(fractured)}
    threshold = float(np.sort(normal)[int(np.ceil(target * len(normal) - 1e-9)) - 1])
    clean = fracture_margin[fractured]
    worst = attacked.groupby("image").margin.min().reindex(fractured)
    lowest = pd.concat([worst, clean], axis=1).min(axis=1, skipna=False)
    return {
        "threshold": threshold,
        "specificity": float((normal <= threshold).mean()),
        "clean": float((clean > threshold).mean()),
        "robust": float((lowest > threshold).mean()),
        "n": len(fractured),
    }
