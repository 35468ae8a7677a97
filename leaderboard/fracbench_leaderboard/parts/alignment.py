"""What the explanations of one model look at, and whether they go on doing so under attack."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fracbench_leaderboard import alignment_tables as tables
from fracbench_leaderboard.choosing import choose_metric
from fracbench_leaderboard.heat import heat_map
from fracbench_leaderboard.offering import offer_figure, offer_table
from fracbench_leaderboard.words import literal

WIDE: dict[Any, Any] = {1: st.column_config.TextColumn(width=170)}  # the column after the index: names are long


def show(row: dict[str, Any]) -> None:
    """Draw it; ``row`` is whole."""
    name = row["submission"]
    st.subheader("Every explainer and metric")
    conditions = tables.conditions(row)
    if not conditions:
        st.write("This entry has not been explained.")
        return
    kinds = tables.CALIBRATED
    value = st.segmented_control("Number", kinds, default=kinds[0], key="value", bind="query-params") or kinds[0]
    condition = st.selectbox("Images", conditions, key="images", bind="query-params", format_func=tables.of_images)
    metric = choose_metric([row]) or ""  # there is one where there are conditions
    offer_figure(heat_map(row, value, condition), f"{name}-{condition}-{value}")
    st.text(tables.panel(row))
    st.subheader(literal(metric))
    st.write("Annotated fractured images without an attack")
    offer_table(tables.clean(row, metric), f"{name}-scores-{metric}", config=WIDE)
    blank = tables.blank_maps(row)
    if blank.empty:
        st.text("No map of these images is blank, with or without an attack.")
    else:
        st.write("Blank maps of these images, which score 0 in every metric")
        offer_table(blank, f"{name}-blank")
    _under_attack(row, metric)
    faithful = tables.faithfulness(row)
    if not faithful.empty:
        st.subheader("Faithfulness")
        st.write("Whether the pixels a map names are those the answer hangs on")
        offer_table(faithful, f"{name}-faithfulness")
    st.subheader("With and without a fracture")
    st.write("Where the mass of maps lies on clean fractured images, annotated or not, and on normal ones")
    offer_table(tables.spread(row), f"{name}-spread")


def _under_attack(row: dict[str, Any], metric: str) -> None:
    attacks = tables.attacks(row)
    if attacks:
        st.subheader("Under attack")
        attack = st.selectbox("Attack", attacks, key="attack", bind="query-params")
        st.write("Scores by what the attack made of the answer")
        offer_table(tables.under(row, metric, attack), f"{row['submission']}-{metric}-{attack}", config=WIDE)
        st.write("Stability: what attacked images leave of the maps of clean ones")
        offer_table(tables.stability(row, attack), f"{row['submission']}-stability-{attack}")
    sentence = tables.robust(row)
    if sentence:
        st.write(sentence)
