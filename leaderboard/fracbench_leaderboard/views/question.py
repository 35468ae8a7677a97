"""Does robustness bring alignment? What the entries of a board say, and what they cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from fracbench import specs
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.board import Board
from fracbench.errors import InputError
from fracbench.kept_rows import state_of
from fracbench.keyed import digest
from fracbench.study.answer import answer
from fracbench.study.page import DOUBTS
from fracbench.study.reading import models_of
from fracbench.study.relations import relations
from fracbench.study.studied import number
from fracbench.study.words import across_words, sentences

from fracbench_leaderboard import joint, words
from fracbench_leaderboard.choosing import way_to_clicked
from fracbench_leaderboard.figures import CLICKED, scatter
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure, offer_table
from fracbench_leaderboard.study_figures import dose_chart, pairs_chart
from fracbench_leaderboard.study_tables import across_table, beside_table, changes_table, pairs_table


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Does robustness bring alignment?", _draw, words.QUESTION, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.write(
        "The founding study (arXiv 2504.05483) found that robust models explain themselves by what a surgeon marks. "
        "This page says what the entries of the chosen board have to say about it."
    )
    ranked = [row for row in rows if row["rank"] is not None and not row["control"]]
    spec = registered(rows[0])
    study = None if spec is None else _studied(spec, board, rows[0])
    if study is None:
        st.subheader("Across entries")
        st.text(across_words(_relations(ranked)))
        _scatter(ranked)
        st.text("No training pairs are tested: " + ("this benchmark has registered no study." if spec is None else
                                                    "the tables of an entry cannot be read."))  # fmt: skip
    else:
        for sentence in sentences(study):
            st.text(sentence)
        _pairs(study)
        st.subheader("Across models")
        _scatter(ranked)
        offer_table(across_table(study["across"]), "across")
        chart = dose_chart(study)
        if chart is not None:
            st.subheader("Dose")
            offer_figure(chart, "dose")
        if study["beside"]:
            st.subheader("Controls and other trainings")
            st.caption("Less the standard model of the same network, data and seed, in raw alignment.")
            offer_table(beside_table(study["beside"]), "other-trainings")
    st.subheader("What this cannot say")
    st.markdown("\n".join(f"- {line}" for line in DOUBTS))


def registered(row: dict[str, Any]) -> BenchmarkSpec | None:
    """The benchmark of a row where it is one of ours, by the same rules, and registers a study."""
    if row["spec"] not in specs.names():
        return None
    spec = specs.load(row["spec"])
    return spec if spec.study and digest(spec.decisive()) == row["spec_hash"] and row["split"] == spec.split else None


def _studied(spec: BenchmarkSpec, board: Board, row: dict[str, Any]) -> dict[str, Any] | None:
    """The study of the chosen board, with the same models on other splits; None where nothing can be read."""
    mine = [of for of in board.rows if of["spec_hash"] == row["spec_hash"]
            and (of["split"] != spec.split or of["fingerprint"] == row["fingerprint"])]  # fmt: skip
    states = [(of["path"], state_of(Path(of["path"]))) for of in mine]
    return _answer(spec.name, states, mine)


@st.cache_data(max_entries=8, show_spinner="Comparing training pairs ...")
def _answer(name: str, states: Sequence[Any], _rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """By the state of the files, since ten thousand draws of each number take a moment."""
    spec = specs.load(name)
    try:
        models, shifted, left = models_of(_rows, spec)
        return answer(spec, models, shifted, left)
    except (InputError, LookupError, TypeError, ValueError, AttributeError):  # results of strangers
        return None


def _relations(ranked: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = [(joint.robustness(row), joint.alignment(row), row["clean"]["balanced_accuracy"]) for row in ranked]
    x, y, held = np.array([[number(of) for of in each] for each in scores]).reshape(-1, 3).T
    return relations(x, y, held)


def _scatter(ranked: list[dict[str, Any]]) -> None:
    chart = scatter(ranked, clickable=True)
    if chart is not None:
        way_to_clicked(offer_figure(chart, "robustness-and-alignment", CLICKED), ranked)


def _pairs(study: dict[str, Any]) -> None:
    st.subheader("Training pairs")
    if study["left_out"] or study["unclear"]:
        st.text("Left out:\n" + "\n".join([*study["left_out"], *study["unclear"]]))
    if study["registered_after"]:
        st.text("Run under no such plan, or another: " + ", ".join(study["registered_after"]))
    chart = pairs_chart(study)
    if chart is None:
        st.write("No two entries are alike in network, stated data and seed and differ in adversarial training.")
        return
    st.caption(
        "The same network, stated data and seed, trained with and without attacks: adversarial less standard in raw "
        "alignment, on the same images. What the benchmark registered before is primary; all else is beside it."
    )
    with st.expander("What was registered"):
        st.text("\n".join(f"{key}: {value}" for key, value in study["plan"].items()))
    offer_figure(chart, "training-pairs")
    offer_table(pairs_table(study["primary"]["each"]), "training-pairs")
    offer_table(changes_table(study), "changes")
