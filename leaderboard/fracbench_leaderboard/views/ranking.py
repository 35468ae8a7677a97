"""The ranking: table, scatter, and one case to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from fracbench.board import Board

from fracbench_leaderboard.choosing import choose_model
from fracbench_leaderboard.figures import enlarge, overlay, scatter
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.reading import of_image, read_gallery
from fracbench_leaderboard.table import badges, explainer_table, ranking_table

ABOUT = "Fracture classifiers, ranked by whether they survive attack **and** look at the fracture."
PICTURES = 5
INPUTS = {"clean": "clean", "strongest": "strongest attempt"}
TERMS = """
- **Badges**: *control*, there to lose; *self-reported*, until `fracbench verify` has computed a sample again; what
  its training data has in common with these images.
- **Headline** (aligned robust accuracy): share of fractured-normal pairs handled right for the right reason,
  the product of its two factors. A model that always says "fracture" scores 0.
- **Tie group**: entries whose headline no test tells from that of the first in their group (label-swap permutation
  over patients or groups, Holm's correction over all pairs at .05).
- **Aligned sensitivity**: share of annotated fractured images that stay correct under every attack while the
  explanation's peak lies on the fracture (within a tolerance), before and after the strongest attempt.
- **Robust specificity**: share of normal images that stay correct under every attack. Both factors also count images
  that third parties sent, which the robust balanced accuracy in the table leaves out; see the Robustness page.
- **Calibrated alignment**: relevance rank accuracy on clean images, 0 at chance and 1 at the best a map of that
  grid can reach, over the headline's explainers. The dashed line in the figure is chance.
- **Robust alignment**, where it is measured: the same while an attack moves the explanation off the fracture and keeps
  the answer; see the Alignment page.
- Brackets are 95 % intervals (97.5 % for the two factors, so that the interval of their product holds at 95 %), by
  bootstrap over patients or groups (Wilson's where successes, failures or groups are few).
"""


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("fracbench", _draw, TERMS, submissions, results, ABOUT)


def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    _show_ranking(rows)
    _show_case(rows)


def _show_ranking(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    facts = (
        f"Threat model {first['threat']} at epsilon {first['epsilon']}; dataset {first['dataset']}; {_counts(rows)}. "
    )
    st.text(facts + first["note"])  # text, not Markdown: what a result file says is never a link
    if any("not trained on such images" in badges(row) for row in rows):
        st.info("Rows with the badge 'not trained on such images' say how a model transfers, not how good it can be.")
    table = ranking_table(rows)
    # a column of which every cell is empty says nothing
    filled = table.loc[:, table.map(bool).any()]
    st.dataframe(filled, hide_index=True, column_config={"Badges": st.column_config.ListColumn(width="medium")})
    st.subheader("Robustness and alignment")
    chart = scatter(rows)
    if chart is None:
        st.write("No entry has both numbers.")
    else:
        st.altair_chart(chart, width="stretch")


def _counts(rows: list[dict[str, Any]]) -> str:
    """What the rows were evaluated on; trial runs of different size share a table."""
    counts = [row["n"] for row in rows]
    if any(count != counts[0] for count in counts):
        return "the number of images differs from row to row"
    n = counts[0]
    fractured = f"{n['fractured']} fractured ({n['annotated']} annotated)"
    return f"{fractured} and {n['normal']} normal images in {n['groups']} groups"


def _picture(gallery: pd.DataFrame, condition: str, kind: str, explainer: str = "") -> bytes | None:
    found = gallery[(gallery.condition == condition) & (gallery.kind == kind) & (gallery.explainer == explainer)]
    return None if found.empty else found.iloc[0].png


@st.fragment
def _show_case(rows: list[dict[str, Any]]) -> None:
    st.subheader("One case")
    columns = st.columns(4)
    with columns[0]:
        row = choose_model(rows)
    gallery = read_gallery(row)
    if gallery.empty:
        st.write("This entry came without a gallery.")
        return
    labels = gallery.drop_duplicates("image").sort_values("label", ascending=False)
    names = {f"{image} ({'fracture' if label else 'normal'})": image
             for image, label in zip(labels.image, labels.label, strict=True)}  # fmt: skip
    image = names[columns[1].selectbox("Image", list(names), key="image", bind="query-params")]
    mine = of_image(gallery, image)
    if mine.empty:
        st.write("None of these pictures can be drawn.")
        return
    conditions = [c for c in INPUTS if c in set(mine.condition)]
    condition = columns[2].selectbox(
        "Input", conditions, key="input", bind="query-params", format_func=INPUTS.__getitem__
    )
    maps = mine[(mine.condition == condition) & (mine.kind == "attributions")].explainer.tolist()
    explainer = columns[3].selectbox("Explainer", maps or ["none"], key="explainer", bind="query-params")
    radiograph, mask = _picture(mine, condition, "radiograph"), _picture(mine, "clean", "mask")
    attributions = _picture(mine, condition, "attributions", explainer)
    shown = [("radiograph", radiograph), ("annotated fracture", mask), (f"{explainer} map", attributions)]
    if condition == "strongest":
        attack = mine[mine.condition == "strongest"].attack.iloc[0]
        shown.append((f"perturbation by {attack} (grey = none, black and white = epsilon)",
                      _picture(mine, condition, "perturbation")))  # fmt: skip
    pictures = [(caption, enlarge(png)) for caption, png in shown if png is not None]
    if radiograph is not None:
        words = "map in orange, outline of the annotated fracture in blue"
        pictures.append((words, overlay(radiograph, mask, attributions)))
    for panel, (caption, picture) in zip(st.columns(PICTURES), pictures, strict=False):
        panel.image(picture, caption=caption, width="stretch")
    st.text(f"All explainers of {row['submission']} on clean fractured images")
    st.dataframe(explainer_table(row), hide_index=True)
