"""Case by case: the radiograph, what was marked, where the model looks, before and under attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from fracbench.board import Board
from PIL import Image

from fracbench_leaderboard import words
from fracbench_leaderboard.cases import OUTCOMES, SIZES, cases_of
from fracbench_leaderboard.choosing import choose, choose_model
from fracbench_leaderboard.frame import show_page
from fracbench_leaderboard.offering import offer_pictures, offer_table
from fracbench_leaderboard.pictures import COLOUR_MAPS, amplified, enlarge, outlined, overlay
from fracbench_leaderboard.reading import of_image, picture, read_gallery, read_tables
from fracbench_leaderboard.table import number
from fracbench_leaderboard.words import literal

PAIRS = 2  # of pictures beside each other, of the clean image and of the attacked one
TRUTHS = ("normal", "fracture")  # by label
HITS = ("hit", "not hit")
CLEAN, ATTACKED = "clean", "strongest"
Shown = tuple[str, Image.Image] | None  # a caption and a picture


def show(submissions: Path, results: Path | None) -> None:
    """Draw the page from what lies in the results folders now."""
    show_page("Cases", _draw, words.CASES, submissions, results)


@st.fragment
def _draw(board: Board, rows: list[dict[str, Any]]) -> None:
    row = choose_model(rows)
    gallery, cases = read_gallery(row), cases_of(row)
    if gallery.empty or cases is None:
        st.write("This entry came without a gallery, or its tables cannot be read.")
        return
    kept = _filtered(cases)
    if kept.empty:
        st.write("No case is left: take a filter back.")
        return
    image = _choose_image(kept, row["n"]["images"])
    mine = of_image(gallery, image)
    if picture(mine, "clean", "radiograph") is None:
        st.write("None of these pictures can be drawn.")
        return
    line = kept.loc[image]
    _facts(line)
    _pictures(row, mine, image, line)
    _turn(list(kept.index), "below")
    with st.expander("All cases of this entry that have pictures"):
        offer_table(kept.reset_index(), f"{row['submission']}-cases")


def _filtered(cases: pd.DataFrame) -> pd.DataFrame:
    """What the reader asks for, the lowest margin first."""
    zero, one, two, three = st.columns(4)
    truths = zero.multiselect("Truth", TRUTHS, key="truth", bind="query-params")
    outcomes = one.multiselect("Outcome", OUTCOMES, key="outcome", bind="query-params")
    sizes = two.multiselect("Lesion size (thirds)", SIZES, key="size", bind="query-params")
    hits = three.multiselect("Peak on the fracture, clean", HITS, key="hit", bind="query-params")
    kept = cases[cases.outcome.isin(outcomes)] if outcomes else cases
    kept = kept[kept.label.isin(map(TRUTHS.index, truths))] if truths else kept
    kept = kept[kept["size"].isin(sizes)] if sizes else kept
    if len(hits) == 1:
        half = kept.hit >= 0.5
        kept = kept[half if hits == ["hit"] else ~half & kept.hit.notna()]
    return kept


def _choose_image(cases: pd.DataFrame, images: int) -> str:
    """The image that the reader looks at, among those kept; the benchmark has so many ``images``."""
    names = list(cases.index)
    image = choose("Case, the lowest clean margin first", names, "image")
    _turn(names, "above")
    st.caption(f"{names.index(image) + 1} of {len(names)} cases shown here, of {images} images of the benchmark")
    return image


def _turn(names: list[str], where: str) -> None:
    """Buttons to the case before the one looked at and to the one after it, ``where`` they stand."""
    place = names.index(st.session_state["image"])

    def go(to: int) -> None:
        st.session_state["image"] = names[to]

    with st.container(horizontal=True):
        for word, to in (("Previous", place - 1), ("Next", place + 1)):
            st.button(word, on_click=go, args=(to,), disabled=not 0 <= to < len(names), key=f"{word} {where}")


def _facts(case: Any) -> None:
    truth, other = TRUTHS[bool(case.label)], TRUTHS[not case.label]
    answered = {True: truth, False: other}
    lines = [f"Truth: {truth}. Without an attack: {answered[bool(case.margin > 0)]}, margin {case.margin:+.2f}."]
    if case.attacked == case.attacked:
        lines.append(f"Under the strongest attack ({case.attack}): {answered[bool(case.attacked > 0)]}, "
                     f"margin {case.attacked:+.2f}. Outcome: {case.outcome}.")  # fmt: skip
    if case.label and case.hit == case.hit:
        third = f" ({case['size']} third)" if case["size"] else ""
        after = "" if case.hit_attacked != case.hit_attacked else f", {case.hit_attacked:.2f} under that attack"
        lines.append(f"Share of the headline's explainers whose peak lies on the fracture: {case.hit:.2f}{after}. "
                     f"The fracture is {case.area:.1%} of the picture{third}.")  # fmt: skip
    st.text("\n".join(lines))


def _pictures(row: dict[str, Any], mine: pd.DataFrame, image: str, line: Any) -> None:
    names = list(dict.fromkeys(mine[mine.kind == "attributions"].explainer))
    one, two, three, four = st.columns(4)
    chosen = one.multiselect("Explainers", names, default=[name for name in row["panel"] if name in names][:2],
                             max_selections=4, key="explainers", bind="query-params")  # fmt: skip
    opacity = two.slider("Opacity, %", 0, 100, 70, 5, key="opacity", bind="query-params") / 100
    colours = three.selectbox("Colour map", list(COLOUR_MAPS), key="colours", bind="query-params")
    factor = four.select_slider("Perturbation, sensitivity", [1, 2, 4, 8], value=1, key="times", bind="query-params")
    marked = bool(line.label)
    pairs = [(_radiograph(mine, CLEAN), _radiograph(mine, ATTACKED)),
             (_outline(mine) if marked else None, _perturbation(mine, factor)),
             *((_map(mine, CLEAN, name, opacity, colours), _map(mine, ATTACKED, name, opacity, colours))
               for name in chosen)]  # fmt: skip
    _grid([pair for pair in pairs if pair != (None, None)])
    offer_pictures([of for pair in pairs for of in pair if of is not None], 2, f"{row['submission']}-{image}")
    scores = _scores(row, image, names, line.attack)
    if scores is not None:
        st.subheader("Scores of its maps")
        offer_table(scores, f"{row['submission']}-{image}-scores")


def _grid(pairs: list[tuple[Shown, Shown]]) -> None:
    """Each pair side by side, so many pairs in a row; where one has no picture its place stays empty."""
    for start in range(0, len(pairs), PAIRS):
        shown = [of for pair in pairs[start : start + PAIRS] for of in pair]
        for column, of in zip(st.columns(2 * PAIRS), shown, strict=False):
            if of is not None:
                column.image(of[1], caption=literal(of[0]), alt=of[0], width="stretch")


def _condition(mine: pd.DataFrame, condition: str) -> str:
    return "clean" if condition == CLEAN else f"under {mine[mine.condition == condition].attack.iloc[0]}"


def _radiograph(mine: pd.DataFrame, condition: str) -> Shown:
    png = picture(mine, condition, "radiograph")
    return None if png is None else (f"radiograph, {_condition(mine, condition)}", enlarge(png))


def _outline(mine: pd.DataFrame) -> Shown:
    png, mask = (picture(mine, CLEAN, kind) for kind in ("radiograph", "mask"))
    if png is None or mask is None:
        return None
    return "outline of the annotated fracture", outlined(enlarge(png).convert("RGB"), mask)


def _perturbation(mine: pd.DataFrame, factor: int) -> Shown:
    png = picture(mine, ATTACKED, "perturbation")
    if png is None:
        return None
    whole = "epsilon" if factor == 1 else f"epsilon / {factor}"
    return f"perturbation (grey: none; black and white: {whole} and more)", amplified(png, factor)


def _map(mine: pd.DataFrame, condition: str, name: str, opacity: float, colours: str) -> Shown:
    radiograph = picture(mine, condition, "radiograph")
    maps = picture(mine, condition, "attributions", name)
    if radiograph is None or maps is None:
        return None
    mask = picture(mine, CLEAN, "mask")
    return f"{name}, {_condition(mine, condition)}", overlay(radiograph, mask, maps, opacity, colours)


def _scores(row: dict[str, Any], image: str, names: list[str], attack: str) -> pd.DataFrame | None:
    """Every metric of the clean map and of the one under the strongest attack; None for normal images."""
    tables = read_tables(row, "alignment")
    if tables is None:
        return None
    mine = tables["alignment"][tables["alignment"].image == image]
    mine = mine[mine.attack.isin(["clean", attack])]
    metrics = [name for of in row["alignment"].values() for name in of]
    columns = [name for name in dict.fromkeys(["hit", *metrics]) if name in mine]
    mine = mine[mine.explainer.isin(names)].dropna(subset=["hit"])
    if mine.empty:
        return None
    lines = [{"Explainer": of.explainer, "Input": of.attack, **{name: number(getattr(of, name)) for name in columns}}
             for of in mine.itertuples()]  # fmt: skip
    return pd.DataFrame(lines)
