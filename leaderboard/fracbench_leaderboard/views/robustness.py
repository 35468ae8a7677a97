"""Robustness in detail: curves, what each attack achieved and cost, flags, corruptions, shift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board, drops

from fracbench_leaderboard import robustness_tables as tables
from fracbench_leaderboard.choosing import choose_model, some_of
from fracbench_leaderboard.curves import curves
from fracbench_leaderboard.frame import show_page

TERMS = """
- **Robust**: correct on the clean image and under every attack of the benchmark. **Worst case**: also under images that
  third parties sent and that were verified here.
- **Missed fractures**: of the fractured images that are right without an attack, the share an attack makes normal.
  **False alarms**: of the normal ones, the share it makes fractured.
- **Sens. at 90 % spec.**: sensitivity at the lowest threshold that keeps nine of ten normal images right, clean and
  under attack, so that models of any calibration can be compared.
- **Median adv. eps.**, the median adversarial epsilon: half the images of a class have an adversarial image nearer
  than this, in units of 1/255 (linf) or as a distance (l2); misclassified images count as 0. *Not reached*: at
  least half were never broken. It is an upper bound: a better attack finds nearer ones.
- **Curve area**: under the curve, over log2(epsilon): 1 for a model that nothing breaks, and 0.5 for one that always
  gives the same answer, since half of the balance stays right.
- **Passes**: images sent forward and backward through the model, for each image attacked.
"""


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Robustness", _draw, TERMS, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.subheader("How accuracy falls as epsilon grows")
    chart = curves(some_of(rows))
    if chart is None:
        st.write("No entry has a curve.")
    else:
        st.altair_chart(chart, width="stretch")
    st.dataframe(tables.overview(rows), hide_index=True, height="content")
    shifted = [drop for drop in drops(board.rows) if drop["spec"] == rows[0]["spec"]]
    if shifted:
        st.subheader("Distribution shift")
        st.dataframe(tables.shifts(shifted), hide_index=True, height="content")
    _show_model(rows)


@st.fragment
def _show_model(rows: list[dict[str, Any]]) -> None:
    st.subheader("One model")
    row = choose_model(rows)
    for flag in row["flags"]:
        box = st.warning if flag["unranks"] and not flag["answered"] else st.info
        box(f"Flag: {flag['name']}")
        st.text(tables.told(flag))  # text, not Markdown: what a result file says is never a link
    for sender in row["third_party"]:
        st.info("Images sent by a third party, verified here:")
        st.text(f"{sender['by']}: {sender['lowered']} of {sender['images']} broke what every attack had spared")
    st.write("Attacks at the reference epsilon; parts of an ensemble one after another, on what is left")
    st.dataframe(tables.attacks(row["attacks"]), hide_index=True, height="content")
    if row["subgroups"]:
        st.write("Accuracy by kind of radiograph; each third by size of the fracture is beside all normal images")
        st.dataframe(tables.subgroups(row["subgroups"]), hide_index=True, height="content")
    for of in row["further_threats"]:
        st.text(f"Another threat model, {of['norm']} {of['epsilon']}: "
                f"robust balanced accuracy {tables.interval(of['balanced_accuracy'])}")  # fmt: skip
        st.dataframe(tables.attacks(of["attacks"]), hide_index=True, height="content")
    if row["corruptions"]["kinds"]:
        st.write("Balanced accuracy under corruptions, by severity; averaged, never worst-cased")
        st.dataframe(tables.corruptions(row["corruptions"]), hide_index=True, height="content")
