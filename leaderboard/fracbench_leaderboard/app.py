"""Entry of the Streamlit application: navigation only."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import streamlit as st

from fracbench_leaderboard.views import alignment, ranking, robustness


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=Path, default=Path("submissions"))
    parser.add_argument("--results", type=Path)
    places = parser.parse_args()
    st.set_page_config(page_title="fracbench", layout="wide")
    given = places.submissions, places.results
    pages = [
        st.Page(partial(ranking.show, *given), title="Ranking", url_path="ranking", default=True),
        st.Page(partial(robustness.show, *given), title="Robustness", url_path="robustness"),
        st.Page(partial(alignment.show, *given), title="Alignment", url_path="alignment"),
    ]
    st.navigation(pages, position="top").run()


main()
