"""The pages of the board and their addresses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from fracbench_leaderboard.views import about, alignment, cases, compare, model, question, ranking, robustness, submit

OF_RESULTS = {
    "ranking": ("Ranking", ranking.show),
    "model": ("Model", model.show),
    "compare": ("Compare", compare.show),
    "cases": ("Cases", cases.show),
    "robustness": ("Robustness", robustness.show),
    "alignment": ("Alignment", alignment.show),
    "question": ("The question", question.show),
}
OTHERS = {"submit": ("Submit", submit.show), "about": ("About", about.show)}


def navigate(submissions: Path, results: Path | None, first: str = "ranking") -> None:
    """Draw the page that the address asks for, and the way to the others; ``first`` is the one without an address."""
    drawn: dict[str, tuple[str, Any]] = {
        path: (title, partial(show, submissions, results)) for path, (title, show) in OF_RESULTS.items()
    }
    pages = {
        path: st.Page(show, title=title, url_path=None if path == first else path, default=path == first)
        for path, (title, show) in (drawn | OTHERS).items()
    }
    st.session_state["pages"] = pages  # for links from one page to another
    # the first page's address is the board's own, and Streamlit knows it by no other
    show = (drawn | OTHERS)[first][1]
    named = st.Page(partial(show), title=pages[first].title, url_path=first, visibility="hidden")
    st.navigation([*pages.values(), named], position="top").run()
