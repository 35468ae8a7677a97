"""Shapes what explanations of one model look at into tables; every number has its n beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from fracbench.schema import FAITHFULNESS, SPREAD, STABILITY

from fracbench_leaderboard.table import interval, number

CALIBRATED = ("calibrated", "raw", "chance", "ceiling")


def clean(row: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Scores on all clean images, and on those of them that the model reads right."""
    parts = {"all images": row["alignment"], "true positives": row["alignment_by_outcome"]["true_positives"]}
    return _side_by_side(parts, list(row["alignment"]), metric, "clean")


def attacks(row: Mapping[str, Any]) -> list[str]:
    """Every attack under which the model was explained."""
    return list(dict.fromkeys(attack for of in row["stability"].values() for attack in of))


def conditions(row: Mapping[str, Any]) -> list[str]:
    """``clean``, and every attack under which an explainer was scored."""
    return list(dict.fromkeys(of for metrics in row["alignment"].values() for by in metrics.values() for of in by))


def of_images(condition: str) -> str:
    return "clean" if condition == "clean" else f"attacked by {condition}"


def under(row: Mapping[str, Any], metric: str, attack: str) -> pd.DataFrame:
    """Scores on images that survived an attack and on those it flipped; an attack on explanations leaves the answer."""
    parts = {name: row["alignment_by_outcome"][name] for name in ("survived", "flipped")}
    if not any(_of(part, name, metric, attack) for part in parts.values() for name in part):
        parts = {"answer kept": row["alignment"]}
    names = [name for name in row["alignment"] if any(_of(part, name, metric, attack) for part in parts.values())]
    return _side_by_side(parts, names, metric, attack)


def _side_by_side(parts: Mapping[str, Any], explainers: Sequence[str], metric: str, attack: str) -> pd.DataFrame:
    """One line per explainer; below the title of each part its scores, chance, ceiling and n."""
    lines = []
    for name in explainers:
        line = {("", "Explainer"): name}
        for title, part in parts.items():
            of = _of(part, name, metric, attack)
            line |= {(title, key.capitalize()): number(of.get(key)) for key in CALIBRATED}
            line[title, "n"] = str(of.get("n", 0))
        lines.append(line)
    return pd.DataFrame(lines, columns=pd.MultiIndex.from_tuples(lines[0]) if lines else None)


def _of(part: Mapping[str, Any], explainer: str, metric: str, attack: str) -> Mapping[str, Any]:
    return part.get(explainer, {}).get(metric, {}).get(attack, {})


def blank_maps(row: Mapping[str, Any]) -> pd.DataFrame:
    """How many maps are blank, of those explainers that have some; a column for each attack."""
    lines = [
        {"Explainer": name} | {attack: f"{of['blank']} of {of['n']}" for attack, of in by_attack.items()}
        for name, by_attack in row["blank_maps"].items()
        if any(of["blank"] for of in by_attack.values())
    ]
    return pd.DataFrame(lines).fillna("")


def stability(row: Mapping[str, Any], attack: str) -> pd.DataFrame:
    """What maps keep under an attack."""
    lines = [(name, of[attack]) for name, of in row["stability"].items() if attack in of]
    return pd.DataFrame([{"Explainer": name, **_means(of, STABILITY)} for name, of in lines])


def faithfulness(row: Mapping[str, Any]) -> pd.DataFrame:
    """How well maps name the pixels that the answer hangs on; empty where it was not measured."""
    return pd.DataFrame([{"Explainer": name, **_means(of, FAITHFULNESS)} for name, of in row["faithfulness"].items()])


def spread(row: Mapping[str, Any]) -> pd.DataFrame:
    """Where the mass of maps lies on fractured images and, beside it, on normal ones."""
    sides = {label: row["spread"].get(label, {}) for label in ("fractured", "normal")}
    lines = []
    for name in dict.fromkeys(name for of in sides.values() for name in of):
        line = {"Explainer": name}
        for key in SPREAD:
            for label, of in sides.items():
                line |= {f"{title}, {label}": cell for title, cell in _means(of.get(name, {}), [key]).items()}
        lines.append(line)
    return pd.DataFrame(lines)


def _means(of: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    """``0.512 (n = 8)`` of each mean, below its name in words."""
    means = {key: of.get(key, {"value": None, "n": 0}) for key in keys}
    return {key.replace("_", " ").capitalize(): f"{number(mean['value'])} (n = {mean['n']})"
            for key, mean in means.items()}  # fmt: skip


def panel(row: Mapping[str, Any]) -> str:
    """The calibrated alignment of the headline's explainers together."""
    of = row["calibrated_alignment"]
    return (
        f"The headline's explainers ({', '.join(row['panel'])}) together have a calibrated relevance rank accuracy of "
        f"{interval(of)} (n = {of['n']})."
    )


def robust(row: Mapping[str, Any]) -> str | None:
    """Robust alignment in a sentence; None where it was not measured."""
    of = row["robust_alignment"]
    if of is None:
        return None
    before, after = (f"{interval(of[when])} (n = {of[when]['n']})" for when in ("clean", "attacked"))
    hits = " to ".join(number(of["hit"][when]) for when in ("clean", "attacked"))
    return (
        f"Robust alignment: of {of['attempted']} images whose explanations were attacked, {of['n']} are answered as "
        f"before; on these the calibrated relevance rank accuracy of the headline's explainers goes from {before} to "
        f"{after}, and the share of peaks on the fracture from {hits} (n = {of['n']})."
    )
