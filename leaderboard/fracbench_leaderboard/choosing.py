"""What the reader chooses: which board is looked at, after what could not be read, and which of its models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from fracbench.alignment_scores import HEADLINE_METRIC
from fracbench.board import Board, whole
from fracbench.errors import InputError
from fracbench.store import ResultFolder

from fracbench_leaderboard.addresses import facts_of, name_of, named_boards, query_of
from fracbench_leaderboard.figures import COLOURED

SECONDS = 5  # between looks at runs that are under way
SHOWN = 20  # lines about results that cannot be read
FACTS = {"dataset": "Dataset", "data": "Data fingerprint", "threat": "Threat", "epsilon": "Epsilon"}


def choose_board(board: Board) -> list[dict[str, Any]]:
    """The rows of the board that the user chose; none, with what to type, where nothing has been run."""
    if board.broken:
        st.warning(f"Left out, since they cannot be read: {len(board.broken)}")
        st.text("\n".join(board.broken[:SHOWN]))
    if board.in_progress:
        _in_progress(board.in_progress)
    if not board.rows:
        st.subheader("No results yet")
        st.write("Evaluate the submissions, then reload this page:")
        st.code("fracbench run --all", language="sh")
        return []
    names = named_boards(board.boards())
    firsts = {name: board.of(of)[0] for name, of in names.items()}
    left = _narrowed(firsts) if len(names) > 1 else list(names)
    if not left:
        st.write("No board is left: take a filter back.")
        return []
    options = sorted(left, key=lambda name: not name.startswith("phantom-v1, "))
    return board.of(names[choose("Benchmark and data", options, "board")])


def choose(label: str, options: Sequence[str], key: str) -> str:
    """What the reader chose, or the address asks for since, else what another page showed, else the first option.

    It is always in the address, also where it is the first: what is first may change. A box that Streamlit itself binds
    to the address leaves its first option out.
    """
    written, kept = f"{key} in the address", f"{key} of any page"
    asked, chosen = st.query_params.get(key), st.session_state.get(key)
    moved = asked != st.session_state.get(written)  # by a link, or a step back
    found = next(of for of in (asked if moved else None, chosen, asked, st.session_state.get(kept), options[0])
                 if of in options)  # fmt: skip
    st.session_state[key] = found
    chosen = str(st.selectbox(label, options, key=key))
    if moved and asked is not None and asked not in options:
        st.warning("The address asks for what is not among these; shown is the one above.")
    st.query_params[key] = st.session_state[written] = st.session_state[kept] = chosen
    return chosen


def choose_some(
    label: str, options: Sequence[str], first: Sequence[str], key: str, most: int | None = None
) -> list[str]:
    """As ``choose``, but several, ``first`` unless the reader or the address says otherwise."""
    written = f"{key} in the address"
    asked, chosen = st.query_params.get_all(key), st.session_state.get(key)
    moved = asked != st.session_state.get(written, [])  # by a link, or a step back
    there = [[name for name in of or () if name in options] for of in (asked if moved else None, chosen, asked)]
    cleared = chosen == [] and not moved
    st.session_state[key] = [] if cleared else next((of for of in there if of), list(first))[:most]
    found = st.multiselect(label, options, key=key, max_selections=most, persist_state="session")
    if moved and not set(asked) <= set(options):
        st.warning("The address asks for some that are not among these.")
    st.query_params[key] = st.session_state[written] = found
    return found


@st.fragment(run_every=SECONDS)
def _in_progress(folders: Sequence[ResultFolder]) -> None:
    """The runs under way and how far they are, counted again while the page is open; one that ends becomes a row."""
    if any((folder.path / "summary.json").exists() for folder in folders):
        st.rerun()
    with st.expander(f"In progress, not ranked yet: {len(folders)}"):
        counts = [len(list((folder.path / "cells").glob("*.zip"))) for folder in folders]
        st.text("\n".join(f"{folder.submission} on {folder.spec}: {n} cells are finished"
                          for folder, n in zip(folders, counts, strict=True)))  # fmt: skip


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
    named: dict[str, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for row in rows:  # ranked rows come first, and a copy of a run takes no name from the run
        name = name_of(row)
        named[f"{name} (copy {seen[name]})" if seen[name] else name] = row
        seen[name] += 1
    return named


def choose_model(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the model that the user chose, with all that is known of it."""
    named = by_name(rows)
    return whole_row(named[choose("Model", list(named), "model")])


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
    return [named[name] for name in choose_some(words, list(named), first, "shown")]


def choose_metric(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The alignment metric that the user chose; None where no row has been explained."""
    metrics = list(dict.fromkeys(metric for row in rows for of in row["alignment"].values() for metric in of))
    if not metrics:
        return None
    first = metrics.index(HEADLINE_METRIC) if HEADLINE_METRIC in metrics else 0
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
