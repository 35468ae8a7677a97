"""What the explanations of all entries look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard import words
from fracbench_leaderboard.choosing import by_name, choose_metric, some_of
from fracbench_leaderboard.dots import clean_scores, dots
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Alignment", _draw, words.ALIGNMENT, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.subheader("What explanations of clean fractured images look at")
    metric = choose_metric(rows)
    if metric is None:
        st.write("No entry has been explained.")
        return
    shown = some_of(rows)
    points = clean_scores(by_name(shown), metric)
    if points:
        offer_figure(dots(points, metric), "alignment")
        st.text("\n".join(_caption(shown, points)))
    else:
        st.write("No entry has a calibrated score: none was explained, or ceiling and chance are closer than 0.05.")


def _caption(rows: Sequence[dict[str, Any]], points: Sequence[dict[str, Any]]) -> list[str]:
    """What the figure is about, and what it cannot show."""
    counts = sorted({point["n"] for point in points})
    lines = [f"n = {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} annotated fractured images; "
             "baselines on grey and given maps on blue, to compare with"]  # fmt: skip
    missing = {name for row in rows for name in row["alignment"]} - {point["explainer"] for point in points}
    return [*lines, *([f"without a calibrated score: {', '.join(sorted(missing))}"] if missing else [])]
