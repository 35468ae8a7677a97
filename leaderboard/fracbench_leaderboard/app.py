"""Entry of the Streamlit application."""

from __future__ import annotations

import argparse
from pathlib import Path

import streamlit as st

from fracbench_leaderboard.navigation import navigate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=Path, default=Path("submissions"))
    parser.add_argument("--results", type=Path)
    places = parser.parse_args()
    st.set_page_config(page_title="fracbench", layout="wide")
    navigate(places.submissions, places.results)


main()
