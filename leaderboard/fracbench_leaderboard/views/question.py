"""Does robustness bring alignment? What the entries of a board say, and what they cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard import words
from fracbench_leaderboard.choosing import way_to_clicked
from fracbench_leaderboard.figures import CLICKED, scatter
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure, offer_table
from fracbench_leaderboard.relation import LIMITS, Relation, relation, sentence, twin_table, twins


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Does robustness bring alignment?", _draw, words.QUESTION, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.write(
        "The founding study (arXiv 2504.05483) found that robust models explain themselves by what a surgeon marks. "
        "This page says what the entries of the chosen board have to say about it."
    )
    ranked = [row for row in rows if row["rank"] is not None and not row["control"]]
    found: Relation = relation(ranked)
    st.subheader("Across entries")
    st.text(sentence(found))
    chart = scatter(ranked, clickable=True)
    if chart is not None:
        way_to_clicked(offer_figure(chart, "robustness-and-alignment", CLICKED), ranked)
    st.subheader("Twins")
    pairs = twins(ranked)
    if pairs:
        st.caption(
            "The same architecture, size and stated training data, trained with and without attacks; recipe, length "
            "and seed may differ. Each line is one pair; Compare tells how sure a difference is."
        )
        offer_table(twin_table(pairs), "twins")
    else:
        st.write("No two entries are alike in architecture, size and stated data and differ in adversarial training.")
    st.subheader("What this cannot say")
    st.markdown("\n".join(f"- {line}" for line in LIMITS))
