"""Two to four entries side by side: differences with intervals and p, curves, and cases where they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from fracbench import paired
from fracbench.board import Board
from fracbench.kept_rows import state_of

from fracbench_leaderboard import words
from fracbench_leaderboard.cases import cases_of, disagreements
from fracbench_leaderboard.choosing import by_name, choose_some, whole_row
from fracbench_leaderboard.compare_tables import difference_table, side_by_side
from fracbench_leaderboard.curves import curves
from fracbench_leaderboard.figures import differences_chart
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_figure, offer_pictures, offer_table
from fracbench_leaderboard.pictures import overlay
from fracbench_leaderboard.reading import of_image, picture, read_gallery, read_run, read_tables

FEWEST, MOST = 2, 4
PICTURES = 6  # images in which entries disagree that are shown


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Compare", _draw, words.COMPARE, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    named = by_name(rows)
    if len(named) < FEWEST:
        st.write("There is one entry on this board; run another to compare it with.")
        return
    asked = choose_some(f"Entries, {FEWEST} to {MOST}", list(named), list(named)[:FEWEST], "entries", MOST)
    if len(asked) < FEWEST:
        st.write("Choose another entry.")
        return
    chosen = {name: whole_row(named[name]) for name in asked}
    offer_table(side_by_side(chosen), "compared")
    _differences(chosen)
    chart = curves(list(chosen.values()))
    if chart is not None:
        st.subheader("Curves")
        offer_figure(chart, "compared-curves")
    _disagreements(chosen)


def _differences(chosen: Mapping[str, dict[str, Any]]) -> None:
    st.subheader("Paired differences")
    places = [Path(row["path"]) for row in chosen.values()]
    found = _paired(list(chosen), [str(place) for place in places], [state_of(place) for place in places], chosen)
    if found is None:
        st.write("The tables of an entry cannot be read, so nothing can be paired.")
        return
    st.caption(
        "The first entry less the second, on the same images. Intervals are 95 %, by bootstrap over patients or "
        "groups, each for itself; p is from a test that swaps the two within each group, corrected over all lines here "
        "(Holm). The tie groups of the ranking are corrected over all pairs of its entries, so they tell fewer apart."
    )
    chart = differences_chart(found)
    if chart is not None:
        offer_figure(chart, "differences")
    offer_table(difference_table(found), "differences", whole=lambda: pd.DataFrame(found))


@st.cache_data(max_entries=32, show_spinner="Comparing image by image ...")
def _paired(
    names: Sequence[str], places: Sequence[str], states: Sequence[Any], _rows: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]] | None:
    """By the state of the files, since 20,000 draws of each difference take a moment."""
    sums = {}
    for name in names:
        run = read_run(_rows[name])
        tables = read_tables(_rows[name], "images", "predictions", "alignment")
        if run is None or tables is None:
            return None
        try:
            sums[name] = paired.sums_of(run, tables, _rows[name])
        except (LookupError, TypeError, ValueError, AttributeError):  # results of strangers
            return None
    return paired.differences(sums)


def _disagreements(chosen: Mapping[str, dict[str, Any]]) -> None:
    st.subheader("Where they disagree")
    cases = {name: cases_of(row) for name, row in chosen.items()}
    if any(of is None for of in cases.values()):
        st.write("The tables of an entry cannot be read.")
        return
    found = disagreements({name: of for name, of in cases.items() if of is not None})
    if found.empty:
        st.write("On the images of the gallery all of them answer alike, with and without an attack.")
        return
    st.caption(
        f"{len(found)} of the images that have pictures, those with the widest gap between "
        "margins under attack first (logits: each model has a scale of its own)."
    )
    explainers = [name for name in chosen[next(iter(chosen))]["panel"]]
    explainer = st.selectbox("Explainer", explainers, key="explainer", bind="query-params")
    pages, board_of = st.session_state["pages"], [("board", st.session_state["board"])]
    galleries = {name: read_gallery(row) for name, row in chosen.items()}
    for image, line in found.head(PICTURES).iterrows():
        st.text(f"{image} ({'fracture' if line.label else 'normal'})")
        shown = []
        for column, (name, gallery) in zip(st.columns(MOST), galleries.items(), strict=False):
            mine = of_image(gallery, image)
            radiograph = picture(mine, "clean", "radiograph")
            if radiograph is None:
                column.text(f"{name}: no picture")
                continue
            mask, maps = picture(mine, "clean", "mask"), picture(mine, "clean", "attributions", explainer)
            of = cases[name].loc[image]  # type: ignore[union-attr]
            caption = f"{name}: {of.outcome}"
            drawn = overlay(radiograph, mask, maps)
            shown.append((caption, drawn))
            column.image(drawn, caption=caption, alt=caption, width="stretch")
            column.page_link(
                pages["cases"], label="this case", query_params=[*board_of, ("model", name), ("image", image)]
            )
        offer_pictures(shown, MOST, f"compared-{image}")
