"""The ranking: filters, the table, and robustness against alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard import filtering, joint, words
from fracbench_leaderboard.addresses import link_to
from fracbench_leaderboard.bars import interval_bar
from fracbench_leaderboard.choosing import way_to_clicked
from fracbench_leaderboard.figures import CLICKED, scatter
from fracbench_leaderboard.filtering import Filters
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure, offer_table
from fracbench_leaderboard.table import badges, ranking_frame

ABOUT = "Fracture classifiers, ranked by whether they survive attack **and** look at the fracture."
FIRST = ("Rank", "Tie group", "Name", "Headline", "Aligned sensitivity", "Robust specificity", joint.ROBUST,
         "Clean bal. acc.", joint.ALIGNED, "Robust alignment", "Badges", "n", "Unranked because")  # fmt: skip
MORE = ("Notes", "Title", "Team", "Architecture", "Parameters", "Training", "Seconds", "Passes", "Finished")
BAR = " interval"
OWN = "By your weights"


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("fracbench", _draw, words.RANKING, submissions, results, ABOUT)


@st.fragment  # a filter reads no results anew
def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    facts = (
        f"Threat model {first['threat']} at epsilon {first['epsilon']}; dataset {first['dataset']}; {_counts(rows)}. "
    )
    st.text(facts + first["note"])  # text, not Markdown: what a result file says is never a link
    if any("not trained on such images" in badges(row) for row in rows):
        st.info("Rows with the badge 'not trained on such images' say how a model transfers, not how good it can be.")
    filters, attack, explainer, columns = _choices(rows)
    kept = [row for row in rows if filters.keeps(row)]
    if len(kept) < len(rows):
        st.caption(f"{len(kept)} of {len(rows)} entries are shown; ranks are those among all.")
    if not kept:
        st.write("No entry is left: take a filter back.")
        return
    _table(kept, attack, explainer, columns)
    st.subheader("Robustness and alignment")
    chart = scatter(kept, attack, explainer, clickable=True, among=rows)
    if chart is None:
        st.write("No entry has both numbers.")
    else:
        st.caption("A click on a point shows the way to the model's page.")
        way_to_clicked(offer_figure(chart, "robustness-and-alignment", CLICKED), kept)


def _choices(rows: Sequence[dict[str, Any]]) -> tuple[Filters, str, str, list[str]]:
    """What the reader asks for: which entries, robustness under what, alignment of which maps, which columns."""
    left, middle, right = st.columns([2, 1, 1])
    words = left.text_input("Search", placeholder="name, title, team or architecture", key="search",
                            bind="query-params")  # fmt: skip
    attack = middle.selectbox("Robustness under", joint.attacks_of(rows), key="under", bind="query-params")
    explainer = right.selectbox("Alignment of", joint.explainers_of(rows), key="maps", bind="query-params")
    with st.expander("More filters, and columns"):
        one, two, three, four = st.columns(4)
        training = one.multiselect("Training", filtering.training_kinds(rows), key="training", bind="query-params")
        kinds = filtering.architectures(rows)
        architectures = two.multiselect("Architecture", kinds, key="architecture", bind="query-params")
        most = three.number_input("Parameters at most, million", min_value=0.0, value=None, step=1.0, key="parameters",
                                  bind="query-params")  # fmt: skip
        since = four.date_input("Finished since", value=None, key="since", bind="query-params")
        ranked = st.toggle("Ranked entries only", key="ranked", bind="query-params")
        columns = st.multiselect("Columns", [*FIRST, *MORE], default=list(FIRST), key="columns", bind="query-params")
    of = since if isinstance(since, date) else None
    return Filters(words, tuple(training), tuple(architectures), most, of, ranked), attack, explainer, columns


def _table(rows: Sequence[dict[str, Any]], attack: str, explainer: str, columns: Sequence[str]) -> None:
    frame = ranking_frame(rows, attack, explainer,
                          lambda name, score: {"": score["value"], BAR: interval_bar(name, score)})  # fmt: skip
    renamed = {joint.ROBUST: joint.robust_name(attack), joint.ALIGNED: joint.aligned_name(explainer)}
    if set(renamed) != set(renamed.values()):
        st.caption("Of one attack or one explainer alone no interval is computed.")
    columns = [renamed.get(name, name) for name in columns]
    filled = [name for name in frame if any(map(_says, frame[name]))]  # an empty column says nothing
    frame["Name"] = [link_to(row) for row in rows]
    if st.toggle("Order by weights of your own", key="own", bind="query-params"):
        weight = st.slider("Weight of robustness against alignment, %", 0, 100, 50, 5, key="weight",
                           bind="query-params") / 100  # fmt: skip
        st.caption("This order is yours: the official rank is by the headline.")
        frame.insert(0, OWN, [joint.weighted(row, weight, attack, explainer) for row in rows])
        frame = frame.sort_values(OWN, ascending=False, na_position="last", kind="stable")
        columns = [OWN, *columns]
    own = frame.get(OWN)

    def whole() -> pd.DataFrame:
        made = ranking_frame(rows, attack, explainer)
        if own is not None:
            made.insert(0, OWN, own.sort_index())
        return made

    shown = [part for name in columns for part in (name, name + BAR) if part in filled or part == OWN]
    offer_table(frame[shown], "ranking", whole=whole, config=_config(shown))


def _config(names: Sequence[str]) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "Name": st.column_config.LinkColumn(display_text=r"model=([a-z0-9-]+)", pinned=True),
        "Badges": st.column_config.ListColumn(width="medium"),
        "Rank": st.column_config.NumberColumn(width=55),
        "Tie group": st.column_config.NumberColumn(width=75),
        "Parameters": st.column_config.NumberColumn(format="localized"),
        "Passes": st.column_config.NumberColumn(format="localized"),
        "Seconds": st.column_config.NumberColumn(format="%.0f"),
        OWN: st.column_config.NumberColumn(format="%.3f", width="small"),
    }
    for name in names:
        if name.endswith(BAR):
            kinds[name] = st.column_config.ImageColumn(name.removesuffix(BAR) + ", interval", width=160)
            kinds[name.removesuffix(BAR)] = st.column_config.NumberColumn(format="%.3f", width=105)
    return kinds


def _says(cell: object) -> bool:
    return cell is not None and cell == cell and cell not in ("", [])


def _counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the rows were evaluated on; trial runs of different size share a table."""
    counts = [row["n"] for row in rows]
    if any(count != counts[0] for count in counts):
        return "the number of images differs from row to row"
    n = counts[0]
    fractured = f"{n['fractured']} fractured ({n['annotated']} annotated)"
    return f"{fractured} and {n['normal']} normal images in {n['groups']} groups"
