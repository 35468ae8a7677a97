"""How robust all entries are: curves, and one line for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board, drops

from fracbench_leaderboard import robustness_tables as tables
from fracbench_leaderboard import words
from fracbench_leaderboard.choosing import some_of
from fracbench_leaderboard.curves import curves
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure, offer_table


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Robustness", _draw, words.ROBUSTNESS, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.subheader("How accuracy falls as epsilon grows")
    chart = curves(some_of(rows))
    if chart is None:
        st.write("No entry has a curve.")
    else:
        offer_figure(chart, "curves")
    offer_table(tables.overview(rows), "robustness")
    shifted = [drop for drop in drops(board.rows) if drop["spec"] == rows[0]["spec"]]
    if shifted:
        st.subheader("Distribution shift")
        offer_table(tables.shifts(shifted), "shift")
