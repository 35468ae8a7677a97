"""Entry of the Streamlit application: navigation only."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import streamlit as st

from fracbench_leaderboard.pages import ranking


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=Path, default=Path("submissions"))
    parser.add_argument("--results", type=Path)
    places = parser.parse_args()
    st.set_page_config(page_title="fracbench", layout="wide")
    show = partial(ranking.show, places.submissions, places.results)
    st.navigation([st.Page(show, title="Ranking", url_path="ranking", default=True)], position="top").run()


main()
