"""One model on one kind of radiograph beside another."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fracbench_leaderboard import robustness_tables as tables
from fracbench_leaderboard.offering import offer_table


def show(row: dict[str, Any]) -> None:
    """Draw it; ``row`` is whole."""
    if not row["subgroups"]:
        st.write("This benchmark tells no kinds of images apart.")
        return
    st.write("Accuracy by kind of radiograph; each third by size of the fracture is beside all normal images")
    offer_table(tables.subgroups(row["subgroups"]), f"{row['submission']}-subgroups")
