"""Shapes the robustness of rows into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from fracbench.board import SCORES

from fracbench_leaderboard.table import interval, number


def overview(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One line per entry; the worst case is a column of its own where third parties have lowered one."""
    lines = [_line(row) for row in rows]
    if not any(row["third_party"] for row in rows):
        for line in lines:
            del line["Worst case"]
    return pd.DataFrame(lines)


def _line(row: Mapping[str, Any]) -> dict[str, str]:
    at, nearest = row["at_specificity"], row["adversarial_epsilon"]
    line = {
        "Name": row["submission"] + (" (control)" if row["control"] else ""),
        "Clean bal. acc.": interval(row["clean"]["balanced_accuracy"]),
        "AUROC": interval(row["clean"]["auroc"]),
        "Robust bal. acc.": interval(row["robust"]["balanced_accuracy"]),
        "Worst case": interval(row["worst_case"]["balanced_accuracy"]),
        "Missed fractures": interval(row["robust"]["missed_fracture_rate"]),
        "False alarms": interval(row["robust"]["false_alarm_rate"]),
        "Sens. at 90 % spec.": f"{number(at['clean'])} → {number(at['robust'])}",
        "Curve area": number(row["curve_area"]),
        "Median adv. eps., fractured": _epsilon(nearest["fractured"], row["threat"]),
        "normal": _epsilon(nearest["normal"], row["threat"]),
        "Flags": ", ".join(flag["name"] + (" (answered)" if flag["answered"] else "") for flag in row["flags"]),
        "n": f"{row['n']['fractured']} + {row['n']['normal']}",
    }
    for of in row["further_threats"]:
        line[f"Robust, {of['norm']} {of['epsilon']}"] = interval(of["balanced_accuracy"])
    if row["corruptions"]["kinds"]:
        line["Corruptions"] = number(row["corruptions"]["balanced_accuracy"])
    return line


def _epsilon(of: Mapping[str, Any], threat: str) -> str:
    if of["median"] is None:
        return "not reached"
    return f"{of['median'] * 255:.2f}/255" if threat == "linf" else f"{of['median']:.3f}"


def subgroups(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Accuracy on one kind of radiograph beside another."""
    return pd.DataFrame(
        [
            {
                "By": of["fact"].replace("_", " "),
                "Value": of["value"],
                "Clean bal. acc.": interval(of["clean"]),
                "AUROC": interval(of["auroc"]),
                "Robust bal. acc.": interval(of["robust"]),
                "n": f"{of['fractured']} + {of['normal']}",
            }
            for of in rows
        ]
    )


def attacks(table: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What each attack achieved, and what it cost."""
    return pd.DataFrame(
        [
            {
                "Attack": name,
                "Robust bal. acc.": number(of["robust_balanced_accuracy"]),
                "Success": interval(of.get("attack_success_rate") or {}),
                "Missed fractures": interval(of.get("missed_fracture_rate") or {}),
                "False alarms": interval(of.get("false_alarm_rate") or {}),
                "Forward per image": _passes(of.get("forward_per_image")),
                "Backward per image": _passes(of.get("backward_per_image")),
                "Seconds": _passes(of.get("seconds")),
                "n": str(of["n"]),
            }
            for name, of in table.items()
        ]
    )


def _passes(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def corruptions(of: Mapping[str, Any]) -> pd.DataFrame:
    """One line per kind, one column per severity, the means last."""
    lines = [
        {
            "Corruption": kind,
            **{f"severity {n}": number(at["balanced_accuracy"]) for n, at in table["by_severity"].items()},
            "mean": number(table["balanced_accuracy"]),
            "sensitivity": number(table["sensitivity"]),
            "specificity": number(table["specificity"]),
        }
        for kind, table in of["kinds"].items()
    ]
    means = {key: number(of[name]) for key, name in (("mean", "balanced_accuracy"), ("sensitivity", "sensitivity"),
                                                     ("specificity", "specificity"))}  # fmt: skip
    return pd.DataFrame([*lines, {"Corruption": "all", **means}]).fillna("")


def shifts(drops: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Each score on the benchmark's own split, on the other, and the drop."""
    lines = []
    for drop in drops:
        line = {"Name": drop["submission"], "Split": drop["split"]}
        for name, words in SCORES.items():
            own, other = drop[name]
            fall = "" if None in (own, other) else f" ({other - own:+.3f})"
            line[words] = f"{number(own)} → {number(other)}{fall}"
        lines.append(line)
    return pd.DataFrame(lines)


def told(flag: Mapping[str, Any]) -> str:
    """A flag in words, with what became of it."""
    ending = "; the adaptive attack has answered it" if flag["answered"] else ""
    consequence = ", so the row is not ranked" if flag["unranks"] and not flag["answered"] else ""
    return f"{flag['name']}: {flag['text']} ({flag['images']} images){ending}{consequence}"
