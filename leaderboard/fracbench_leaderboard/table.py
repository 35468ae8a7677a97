"""Shapes leaderboard rows into a table people can read: every number with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fracbench_leaderboard import joint
from fracbench_leaderboard.joint import EVERY_ATTACK, PANEL

NOT_STATED = "not stated"


def number(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 3) + 0.0:.3f}"  # never -0.000


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


def scores(row: Mapping[str, Any], attack: str = EVERY_ATTACK, explainer: str = PANEL) -> dict[str, joint.Score]:
    """Every number of an entry that has an interval, by the name of its column."""
    found = {
        "Headline": row["headline"],
        "Aligned sensitivity": row["factors"]["aligned_sensitivity"],
        "Robust specificity": row["factors"]["robust_specificity"],
        joint.robust_name(attack): joint.robustness(row, attack),
        "Clean bal. acc.": row["clean"]["balanced_accuracy"],
        joint.aligned_name(explainer): joint.alignment(row, explainer),
    }
    return found | ({"Robust alignment": row["robust_alignment"]["attacked"]} if row["robust_alignment"] else {})


def ranking_frame(
    rows: Sequence[Mapping[str, Any]],
    attack: str = EVERY_ATTACK,
    explainer: str = PANEL,
    show: Callable[[str, joint.Score], Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """One line per entry, ranked first; of each score its columns are what ``show`` makes of it, by their endings.

    Without ``show`` these are numbers: value, low and high.
    """
    show = show or (lambda _, of: {"": of["value"], " low": of["low"], " high": of["high"]})
    return pd.DataFrame(
        [
            {
                "Rank": row["rank"],
                "Tie group": row["tie_group"],
                "Name": row["submission"],
                "Badges": badges(row),
                **{name + end: of for name, score in scores(row, attack, explainer).items()
                   for end, of in show(name, score).items()},
                "n": f"{row['n']['annotated']} + {row['n']['normal']}",
                "Unranked because": "; ".join(row["unranked_because"]),
                "Notes": notes(row),
                "Title": row["title"],
                "Team": ", ".join(row["authors"]),
                "Architecture": row["architecture"],
                "Parameters": row["parameters"],
                "Training": training_words(row),
                "Seconds": row["seconds"],
                "Passes": row["passes"]["forward"] + row["passes"]["backward"],
                "Finished": row["finished"][:10],
            }
            for row in rows
        ]
    )  # fmt: skip


def training_words(row: Mapping[str, Any]) -> str:
    """What a submission says of its training, in a few words."""
    of = row["training"]
    return ", ".join(word for word in (of["data"], of["recipe"], of["threat"]) if word)
