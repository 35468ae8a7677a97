"""What the reader chooses: which board is looked at, after what could not be read, and which of its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from fracbench.board import Board, whole
from fracbench.errors import InputError

from fracbench_leaderboard.addresses import board_name, facts_of, name_of, query_of
from fracbench_leaderboard.figures import COLOURED
from fracbench_leaderboard.joint import METRIC

FACTS = {"dataset": "Dataset", "data": "Data fingerprint", "threat": "Threat", "epsilon": "Epsilon"}


def choose_board(board: Board) -> list[dict[str, Any]]:
    """The rows of the board that the user chose; none, with what to type, where nothing has been run."""
    for line in board.broken:
        st.warning("Left out, since it cannot be read:")
        st.text(line)
    if board.in_progress:
        with st.expander(f"In progress, not ranked yet: {len(board.in_progress)}"):
            st.text("\n".join(board.in_progress))
    if not board.rows:
        st.subheader("No results yet")
        st.write("Evaluate the submissions, then reload this page:")
        st.code("fracbench run --all", language="sh")
        return []
    names = {board_name(of): of for of in board.boards()}
    firsts = {name: board.of(of)[0] for name, of in names.items()}
    left = _narrowed(firsts) if len(names) > 1 else list(names)
    if not left:
        st.write("No board is left: take a filter back.")
        return []
    options = sorted(left, key=lambda name: not name.startswith("phantom-v1, "))
    return board.of(names[st.selectbox("Benchmark and data", options, key="board", bind="query-params")])


def _narrowed(firsts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The boards, by name with one of their rows, that are of the dataset and the threat model asked for."""
    left = list(firsts)
    with st.expander(f"Which of {len(firsts)} boards: dataset, threat model, epsilon"):
        for column, (fact, title) in zip(st.columns(len(FACTS)), FACTS.items(), strict=True):
            options = sorted({facts_of(row)[fact] for row in firsts.values()})
            wanted = column.multiselect(title, options, key=f"of-{fact}", bind="query-params")
            left = [name for name in left if not wanted or facts_of(firsts[name])[fact] in wanted]
    return left


def by_name(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name_of(row): row for row in rows}


def choose_model(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the model that the user chose, with all that is known of it."""
    named = by_name(rows)
    return whole_row(named[st.selectbox("Model", list(named), key="model", bind="query-params")])


def whole_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with all that is known of it; the page stops where its results have changed meanwhile."""
    try:
        return whole(row)
    except InputError as error:
        st.warning("This model's results have changed:")
        st.text(str(error))
        st.stop()


def some_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that a figure shows: all, or of many the first until the reader names others."""
    named = by_name(rows)
    if len(named) <= COLOURED:
        return list(named.values())
    words, first = f"Entries in the figure (of {len(named)})", list(named)[:COLOURED]
    chosen = st.multiselect(words, list(named), default=first, key="entries", bind="query-params")
    return [named[name] for name in chosen]


def choose_metric(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The alignment metric that the user chose; None where no row has been explained."""
    metrics = list(dict.fromkeys(metric for row in rows for of in row["alignment"].values() for metric in of))
    if not metrics:
        return None
    first = metrics.index(METRIC) if METRIC in metrics else 0
    return st.selectbox("Metric", metrics, index=first, key="metric", bind="query-params")


def way_to_clicked(clicked: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    """A link to the page of the model whose point was clicked on.

    Streamlit itself goes to no page whose address says what a widget of this one is bound to.
    """
    names = {str(point.get("name")) for point in clicked}
    for row in rows:
        if row["submission"] in names:
            page, words = st.session_state["pages"]["model"], f"Open {row['submission']}"
            st.page_link(page, label=words, query_params=query_of(row))
