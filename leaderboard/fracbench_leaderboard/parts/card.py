"""What a submission says of itself, and its numbers in short."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
import yaml

from fracbench_leaderboard.bars import interval_bar
from fracbench_leaderboard.offering import offer_table
from fracbench_leaderboard.reading import read_run, submission_of
from fracbench_leaderboard.table import badges, notes, number, scores, training_words

HALVES = ("Aligned sensitivity", "Robust specificity")


def show(row: dict[str, Any]) -> None:
    """Draw it; ``row`` is whole."""
    st.subheader(row["submission"])
    st.text(row["title"])
    if found := badges(row):
        st.text("Badges: " + "; ".join(found))
    if row["unranked_because"]:
        st.text("Not ranked: " + "; ".join(row["unranked_because"]))
    else:
        st.text(f"Rank {row['rank']}, tie group {row['tie_group']}")
    if told := notes(row):
        st.text(told)
    numbers = scores(row)
    lines = [{"Score": name, "Value": of["value"], "Interval": interval_bar(name, of),
              "Level": "97.5 %" if name in HALVES else "95 %"} for name, of in numbers.items()]  # fmt: skip
    whole = [{"score": name, **{key: of[key] for key in ("value", "low", "high")}} for name, of in numbers.items()]
    config = {"Value": st.column_config.NumberColumn(format="%.3f"), "Interval": st.column_config.ImageColumn()}
    offer_table(pd.DataFrame(lines), f"{row['submission']}-scores", whole=lambda: pd.DataFrame(whole), config=config)
    each = {name: value for name, value in row["headline_per_explainer"].items() if value is not None}
    if each:
        told = "; ".join(f"{name} {number(value)}" for name, value in each.items())
        st.text(f"Headline by each explainer of the panel alone (no interval is computed): {told}")
    run = read_run(row)
    submission = None if run is None else submission_of(run)
    if submission is None:
        st.write("What the submission says of itself cannot be read from its run record.")
        return
    st.subheader("The submission")
    facts = {
        "Team": ", ".join(submission.authors),
        "Contact": submission.contact,
        "Licence": submission.licence,
        "Training": training_words(row),
        "Enters": ", ".join(submission.benchmarks),
        "Links": "\n".join(submission.links),
    }
    st.text("\n".join(f"{name}: {value}" for name, value in facts.items() if value))
    said = submission.model_dump(mode="json", exclude_none=True, exclude={"weights"})
    st.code(yaml.safe_dump(said, sort_keys=False, allow_unicode=True), language="yaml")
