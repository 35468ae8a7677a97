"""One model: its card, how it resists, what it looks at, on whom, and how these numbers came about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard import words
from fracbench_leaderboard.choosing import choose_model
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.parts import alignment, card, record, robustness, subgroups

PARTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "Card": card.show,
    "Robustness": robustness.show,
    "Alignment": alignment.show,
    "Subgroups": subgroups.show,
    "Record": record.show,
}


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Model", _draw, words.ROBUSTNESS + words.ALIGNMENT, submissions, results)


@st.fragment
def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    row = choose_model(rows)
    part = st.segmented_control("Part", list(PARTS), default="Card", key="part", bind="query-params", required=True)
    PARTS[part or "Card"](row)
