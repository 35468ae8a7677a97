"""Alignment in detail: what the explanations of each model look at, and whether they go on doing so under attack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard import alignment_tables as tables
from fracbench_leaderboard.choosing import by_name, choose_model, some_of
from fracbench_leaderboard.dots import clean_scores, dots
from fracbench_leaderboard.frame import show_page

FIRST = "relevance_rank_accuracy"
WIDE: dict[Any, Any] = {1: st.column_config.TextColumn(width=170)}  # the column after the index: names are long
TERMS = """
- **Raw**: the mean score over annotated fractured images. **Chance**: what a map that knows nothing scores on them.
  **Ceiling**: what the annotation itself scores once it is as coarse as the explainer's maps.
- **Calibrated**: (raw - chance) / (ceiling - chance), so 0 is chance, 1 the best that maps of that grid can do, and
  below 0 is worse than chance. A dash stands where ceiling and chance are closer than 0.05. **instance_hit** is such
  a case on maps of full resolution: so many pixels lie within the tolerance of a fracture that among them noise nearly
  always has one of its highest 1 %. Chance is close to 1 there, and a raw score of 1 says nothing.
- **pointing_game**: the map's maximum lies on the fracture.
- **relevance_mass_accuracy**: the share of the map's mass that lies on the fracture.
- **relevance_rank_accuracy**: the share of the fracture among the map's highest pixels, as many as the fracture has.
  The calibrated alignment in the ranking is this one's.
- **attribution_localisation**: the share of the positive mass that lies on the fracture.
- **top_k_intersection**: the share of the map's k highest pixels that lies on the fracture; k is 5 % of the picture.
- **auc**: how often a pixel of the fracture has a higher value than another pixel; .5 by chance.
- **iou**: the overlap of the fracture with the pixels above Otsu's threshold, over what the two cover together.
- **hit**: the map's peak lies on the fracture, tolerance included. **instance_recall**: the share of an image's
  fractures that are found, **instance_hit** whether one is.
- **Blank**: a map that is zero, constant or not finite. It scores 0 in every metric.
- **Baseline**: a map that shows nothing a model has learned (random, centre, edges; *randomised* is the network with
  random weights). What an explainer does not do better than these, it owes to the picture.
- **reader**, the human ceiling: the marks of a second annotator, scored like a map; where a dataset has none, the
  annotation with the tolerance around it. **mean_mask**: where training fractures lie, whatever the image.
- **True positives**: fractured images that are right without an attack. Of these, **survived** are still right under
  the attack and **flipped** are not: whether a model looks elsewhere when it is fooled. The two hold different
  images, so compare calibrated scores, and mind n.
- **Rank correlation** (Spearman's, of all pixels) and **top overlap** (share of the highest 5 % of pixels in common;
  .05 by chance): how much of a map an attack leaves. 1 is a map that did not change.
- **Explanation attack**: it moves the map while the answer stays. **Robust alignment** is what is left of the
  alignment after it, on the images that are answered as before (**answer kept**).
- **Pixel flipping**: the mean probability of a fracture while pixels turn black in the order of the map; lower is
  more faithful to what the model uses, whether or not that is the fracture. **Sparseness**: the Gini index of a map,
  0 for an even one and near 1 for a point.
- **Concentration**: the share of a map's mass in the highest 5 % of pixels, .05 for a flat map and 1 for a point.
  **Outside anatomy**: the share of the mass beside bone and soft tissue. Normal images have
  no fracture to point at: a map as concentrated there as on fractured ones points at something else.
- Brackets are 95 % intervals by bootstrap over patients or groups; n is the number of images.
"""


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Alignment", _draw, TERMS, submissions, results)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    st.subheader("What explanations of clean fractured images look at")
    metrics = list(dict.fromkeys(metric for row in rows for of in row["alignment"].values() for metric in of))
    if not metrics:
        st.write("No entry has been explained.")
        return
    first = metrics.index(FIRST) if FIRST in metrics else 0
    metric = st.selectbox("Metric", metrics, index=first, key="metric", bind="query-params")
    shown = some_of(rows)
    points = clean_scores(by_name(shown), metric)
    if points:
        st.altair_chart(dots(points, metric), width="stretch")
        st.text("\n".join(_caption(shown, points)))
    else:
        st.write("No entry has a calibrated score: ceiling and chance are closer than 0.05.")
    _show_model(rows, metric)


def _caption(rows: Sequence[dict[str, Any]], points: Sequence[dict[str, Any]]) -> list[str]:
    """What the figure is about, and what it cannot show."""
    counts = sorted({point["n"] for point in points})
    lines = [f"n = {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} annotated fractured images; "
             "baselines on grey and given maps on blue, to compare with"]  # fmt: skip
    missing = {name for row in rows for name in row["alignment"]} - {point["explainer"] for point in points}
    return [*lines, *([f"without a calibrated score: {', '.join(sorted(missing))}"] if missing else [])]


@st.fragment
def _show_model(rows: list[dict[str, Any]], metric: str) -> None:
    st.subheader("One model")
    row = choose_model(rows)
    st.write("Annotated fractured images without an attack")
    st.dataframe(tables.clean(row, metric), hide_index=True, height="content", column_config=WIDE)
    st.text(tables.panel(row))
    blank = tables.blank_maps(row)
    if blank.empty:
        st.text("No map of these images is blank, with or without an attack.")
    else:
        st.write("Blank maps of these images, which score 0 in every metric")
        st.dataframe(blank, hide_index=True, height="content")
    attacks = tables.attacks(row)
    if attacks:
        st.subheader("Under attack")
        attack = st.selectbox("Attack", attacks, key="attack", bind="query-params")
        st.write("Scores by what the attack made of the answer")
        st.dataframe(tables.under(row, metric, attack), hide_index=True, height="content", column_config=WIDE)
        st.write("Stability: what attacked images leave of the maps of clean ones")
        st.dataframe(tables.stability(row, attack), hide_index=True, height="content")
    sentence = tables.robust(row)
    if sentence:
        st.write(sentence)
    faithful = tables.faithfulness(row)
    if not faithful.empty:
        st.subheader("Faithfulness")
        st.write("Whether the pixels a map names are those the answer hangs on")
        st.dataframe(faithful, hide_index=True, height="content")
    st.subheader("With and without a fracture")
    st.write("Where the mass of maps lies on clean fractured images, annotated or not, and on normal ones")
    st.dataframe(tables.spread(row), hide_index=True, height="content")
