"""Shapes leaderboard rows into a table people can read: every number with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

NOT_STATED = "not stated"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def interval(score: Mapping[str, Any]) -> str:
    """``0.512 [0.401, 0.620]``; a dash where the number is undefined."""
    if score.get("value") is None:
        return "–"
    return f"{number(score['value'])} [{number(score['low'])}, {number(score['high'])}]"


def badges(row: Mapping[str, Any]) -> list[str]:
    """What a reader must know about a row before comparing it, in a few words each."""
    found = ["control"] if row["control"] else []
    found += ["trial run"] if row["custom"] else []
    found += ["self-reported"] if row.get("self_reported") else []
    found += [f"verified on {row['verified'][:10]}"] if row.get("verified") else []
    found += [row["overlap"]["badge"]] if row["overlap"]["badge"] else []
    if row["trained_on"] == NOT_STATED:
        found.append("training data not stated")
    elif not row["overlap"]["such_images"]:
        found.append("not trained on such images")
    return found + [f"flagged: {flag['name'].replace('_', ' ')}" for flag in row["flags"] if not flag["answered"]]


def notes(row: Mapping[str, Any]) -> str:
    """What was found about a row, in full."""
    stated = row["trained_on"] != NOT_STATED and not row["overlap"]["such_images"]
    found = [f"trained on {row['trained_on']}"] if stated else []
    found += [f"{sender['by']} lowered it by {sender['lowered']} images" for sender in row["third_party"]]
    return "; ".join([*found, *(flag["text"] + (" (answered)" if flag["answered"] else "") for flag in row["flags"])])


def ranking_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One line per entry, ranked first."""
    return pd.DataFrame(
        [
            {
                "Rank": "–" if row["rank"] is None else str(row["rank"]),
                "Tie group": "–" if row["tie_group"] is None else str(row["tie_group"]),
                "Name": row["submission"],
                "Badges": badges(row),
                "Headline": interval(row["headline"]),
                "Aligned sensitivity [97.5 %]": interval(row["factors"]["aligned_sensitivity"]),
                "Robust specificity [97.5 %]": interval(row["factors"]["robust_specificity"]),
                "Robust bal. acc.": interval(row["robust"]["balanced_accuracy"]),
                "Clean bal. acc.": interval(row["clean"]["balanced_accuracy"]),
                "Calibrated alignment": interval(row["calibrated_alignment"]),
                "Robust alignment": interval(row["robust_alignment"]["attacked"]) if row["robust_alignment"] else "",
                "n": f"{row['n']['annotated']} + {row['n']['normal']}",
                "Unranked because": "; ".join(row["unranked_because"]),
                "Notes": notes(row),
                "Title": row["title"],
                "Team": ", ".join(row["authors"]),
            }
            for row in rows
        ]
    )


def explainer_table(row: Mapping[str, Any]) -> pd.DataFrame:
    """The tolerant hit and the relevance rank accuracy on clean images, beside their chance and ceiling."""
    lines = []
    for name, metrics in row["alignment"].items():
        rank_accuracy = metrics.get("relevance_rank_accuracy", {}).get("clean", {})
        hit = metrics.get("hit", {}).get("clean", {})
        lines.append(
            {
                "Explainer": name,
                "In headline": "yes" if name in row["panel"] else "",
                "Hit": number(hit.get("raw")),
                "Hit by chance": number(hit.get("chance")),
                "Hit ceiling": number(hit.get("ceiling")),
                "Rank accuracy": number(rank_accuracy.get("raw")),
                "Chance": number(rank_accuracy.get("chance")),
                "Ceiling": number(rank_accuracy.get("ceiling")),
                "Calibrated": number(rank_accuracy.get("calibrated")),
                "n": str(rank_accuracy.get("n", 0)),
            }
        )
    return pd.DataFrame(lines)
