"""Shapes what two to four entries have in common, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from fracbench.study.words import p_words

from fracbench_leaderboard.filtering import training_kind
from fracbench_leaderboard.table import badges, interval, number, scores


def side_by_side(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A column for each entry, a line for each fact and score."""
    columns = {
        name: {
            "Rank": "–" if row["rank"] is None else str(row["rank"]),
            "Tie group": "–" if row["tie_group"] is None else str(row["tie_group"]),
            **{score: interval(of) for score, of in scores(row).items()},
            "AUROC": interval(row["clean"]["auroc"]),
            "Curve area": number(row["curve_area"]),
            "Missed fractures": interval(row["robust"]["missed_fracture_rate"]),
            "False alarms": interval(row["robust"]["false_alarm_rate"]),
            "Architecture": row["architecture"],
            "Parameters": "–" if row["parameters"] is None else f"{row['parameters']:,}",
            "Training": training_kind(row),
            "Badges": "; ".join(badges(row)),
            "n": f"{row['n']['annotated']} + {row['n']['normal']}",
        }
        for name, row in rows.items()
    }
    return pd.DataFrame(columns).rename_axis("Score").reset_index().fillna("–")


def difference_table(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One line for each two entries and score; a dash where it is not defined."""
    return pd.DataFrame(
        [
            {
                "Entries": f"{of['one']} less {of['other']}",
                "Score": of["score"],
                "Difference": _signed(of["value"]),
                "95 % interval": f"[{_signed(of['low'])}, {_signed(of['high'])}]",
                "p": p_words(of["p"]),
                "p, corrected": p_words(of["holm"]),
                "n groups": str(of["n"]),
            }
            for of in found
        ]
    )


def _signed(value: float) -> str:
    return "–" if value != value else f"{value:+.3f}"
