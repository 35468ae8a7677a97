"""What every page begins and ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board, read_board

from fracbench_leaderboard.choosing import choose_board


def show_page(
    title: str,
    draw: Callable[[Board, list[dict[str, Any]]], None],
    terms: str,
    submissions: Path,
    results: Path | None,
    about: str = "",
) -> None:
    """Read what lies in the results folders now, ``draw`` the rows of the chosen board, and explain the words."""
    st.title(title)
    if about:
        st.write(about)
    board = read_board(submissions, results)
    rows = choose_board(board)
    if rows:
        draw(board, rows)
        with st.expander("What the words mean"):
            st.markdown(terms)
