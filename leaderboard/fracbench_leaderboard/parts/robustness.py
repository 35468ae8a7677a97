"""How one model resists: its curve, what each attack achieved and cost, flags, corruptions."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fracbench_leaderboard import robustness_tables as tables
from fracbench_leaderboard.curves import curves
from fracbench_leaderboard.offering import offer_figure, offer_table
from fracbench_leaderboard.table import interval
from fracbench_leaderboard.words import literal


def show(row: dict[str, Any]) -> None:
    """Draw it; ``row`` is whole."""
    for flag in row["flags"]:
        box = st.warning if flag["unranks"] and not flag["answered"] else st.info
        box(f"Flag: {literal(flag['name'])}")
        st.text(tables.told(flag))  # text, not Markdown: what a result file says is never a link
    for sender in row["third_party"]:
        st.info("Images sent by a third party, verified here:")
        st.text(f"{sender['by']}: {sender['lowered']} of {sender['images']} broke what every attack had spared")
    name = row["submission"]
    curve = curves([row])
    if curve is not None:
        st.subheader("How accuracy falls as epsilon grows")
        offer_figure(curve, f"{name}-curve")
    st.subheader("Attacks at the reference epsilon")
    st.caption("Parts of an ensemble one after another, on what is left.")
    offer_table(tables.attacks(row["attacks"]), f"{name}-attacks")
    for place, of in enumerate(row["further_threats"], 1):
        st.subheader("Another threat model")
        st.text(f"{of['norm']} {of['epsilon']}: robust balanced accuracy {interval(of['balanced_accuracy'])}")
        offer_table(tables.attacks(of["attacks"]), f"{name}-attacks-of-further-threat-{place}")
    if row["corruptions"]["kinds"]:
        st.subheader("Corruptions")
        st.caption("Balanced accuracy by severity; averaged, never worst-cased.")
        offer_table(tables.corruptions(row["corruptions"]), f"{name}-corruptions")
