"""Figures of the leaderboard, in colours that colour-blind readers tell apart (Okabe and Ito)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from fracbench_leaderboard import joint
from fracbench_leaderboard.joint import EVERY_ATTACK, PANEL
from fracbench_leaderboard.naming import name_places

COLOURS = {"ranked": "#0072B2", "control": "#D55E00", "unranked": "#999999"}
SHAPES = {"ranked": "circle", "control": "triangle-up", "unranked": "square"}
CLICKED = "clicked"
END_KEYS = ("value", "low", "high")
APART = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # at most six pairs of four entries
BLIND = ("random", "centre", "edges", "mean_mask")  # maps that look at no model
GREY = "#808b96"
NAMES = alt.Legend(orient="bottom", columns=2, labelLimit=180)
MARKS = ["circle", "square", "triangle-up", "diamond", "cross"]  # with seven colours, no two of 35 entries look alike
COLOURED = 20  # entries that a figure tells apart or names
ACROSS = (-0.1, 1.1)  # robust balanced accuracy along the scatter, in which names find room
HEIGHT, PLOT = 420, 270  # pixels, and what axis and legend leave of them
WIDTHS = {"wide": 640, "narrow": 280}  # pixels: the least width that names of each kind are placed for


def kind_of(row: Mapping[str, Any]) -> str:
    """How an entry takes part: ``ranked``, ``control`` or ``unranked``."""
    return "control" if row["control"] else "ranked" if row["rank"] is not None else "unranked"


def colour_by_name() -> alt.Color:
    """A colour for each entry, named in a legend; beyond seven entries they come again, with another mark."""
    return alt.Color("name:N", title=None, scale=alt.Scale(range=[*APART, GREY]), legend=NAMES)


def mark_by_name() -> alt.Shape:
    return alt.Shape("name:N", title=None, scale=alt.Scale(range=MARKS), legend=NAMES)


def legend_height(entries: int) -> int:
    """Pixels of the legend that names them, below a figure."""
    return 20 + 18 * math.ceil(entries / 2)


def scatter(
    rows: Sequence[Mapping[str, Any]],
    attack: str = EVERY_ATTACK,
    explainer: str = PANEL,
    clickable: bool = False,
    among: Sequence[Mapping[str, Any]] | None = None,
) -> alt.LayerChart | None:
    """Robust balanced accuracy against calibrated alignment, with intervals; None without points.

    The line joins those on the Pareto front of the ranked entries ``among`` which these are, all of them unless given.
    Of many only the first are named. Where it is ``clickable``, a click chooses an entry under ``CLICKED``.
    """
    points = _points(rows, attack, explainer)
    if not points:
        return None
    bounds = [v for p in points for key in END_KEYS if (v := p[f"alignment_{key}"]) is not None]
    x = alt.X(
        "robust_value:Q",
        title="robust balanced accuracy" + (f" under {attack}" if attack != EVERY_ATTACK else ""),
        scale=alt.Scale(domain=ACROSS, nice=False),
        axis=alt.Axis(values=[i / 10 for i in range(11)], format=".1f"),
    )
    lines = _reference_lines(rows)
    domain = [min(-0.05, *bounds), max(0.5, *bounds, *(line["y"] for line in lines if line["y"] <= 1))]
    _place_names(points, domain)
    base = alt.Chart(pd.DataFrame(points))
    y = alt.Y("alignment_value:Q", title=f"calibrated alignment ({explainer})", scale=alt.Scale(domain=domain))
    kinds = list(COLOURS)
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=list(COLOURS.values())), title=None,
                       legend=alt.Legend(orient="bottom"))  # fmt: skip
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=list(SHAPES.values())), title=None)
    across = base.mark_rule(opacity=0.55).encode(x="robust_low:Q", x2="robust_high:Q", y=y, color=colour)
    up = base.mark_rule(opacity=0.55).encode(x=x, y="alignment_low:Q", y2="alignment_high:Q", color=colour)
    told = {"tooltip": ["name:N", alt.Tooltip("robust_value:Q", format=".3f"),
                        alt.Tooltip("alignment_value:Q", format=".3f")]}  # fmt: skip
    marks = base.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=colour, shape=shape, **told)
    if clickable:
        marks = marks.add_params(alt.selection_point(name=CLICKED, fields=["name"]))
    place = f"(width < {WIDTHS['wide']} ? datum.narrow : datum.wide)"
    named = base.transform_filter(f"isNumber{place}").mark_text(dy={"expr": place}, fontSize=12, color="gray")
    horizontal = alt.Chart(pd.DataFrame(lines))
    rules = horizontal.mark_rule(strokeDash=[4, 4], color="gray").encode(y="y:Q")
    words = horizontal.mark_text(align="right", baseline="bottom", dx=-4, fontSize=11, color="gray").encode(
        x=alt.datum(ACROSS[1]), y="y:Q", text="words:N"
    )
    layers = [
        rules,
        words,
        *_front(points, points if among is None else _points(among, attack, explainer), x, y),
        across,
        up,
        marks,
        named.encode(x=x, y=y, text="name:N"),
    ]
    return alt.LayerChart(layer=layers).properties(
        height=HEIGHT, description="Each entry's robust balanced accuracy and calibrated alignment with 95 % intervals"
    )


def _place_names(points: Sequence[dict[str, Any]], domain: Sequence[float]) -> None:
    """Give each point what ``name_places`` found for its name, for every kind of width."""
    names = [point["name"] for point in points[:COLOURED]]
    tall = PLOT / (domain[1] - domain[0])
    for kind, width in WIDTHS.items():
        wide = width / (ACROSS[1] - ACROSS[0])
        at = [(wide * (p["robust_value"] - ACROSS[0]), tall * (domain[1] - p["alignment_value"])) for p in points]
        for point, place in zip(points, name_places(at, names), strict=False):
            point[kind] = place


def _points(rows: Sequence[Mapping[str, Any]], attack: str, explainer: str) -> list[dict[str, Any]]:
    """Both numbers of each entry that has them, with their ends."""
    points = []
    for row in rows:
        scores = {"robust": joint.robustness(row, attack), "alignment": joint.alignment(row, explainer)}
        if all(score["value"] is not None for score in scores.values()):
            numbers = {f"{name}_{key}": score[key] for name, score in scores.items() for key in END_KEYS}
            points.append({"name": row["submission"], "kind": kind_of(row), **numbers})
    return points


def _front(points: Sequence[Mapping[str, Any]], among: Sequence[Mapping[str, Any]], x: Any, y: Any) -> list[alt.Chart]:
    ranked = [point for point in among if point["kind"] == "ranked"]
    front = [ranked[i] for i in joint.pareto([(p["robust_value"], p["alignment_value"]) for p in ranked])]
    shown = {point["name"] for point in points}
    best = [point for point in front if point["name"] in shown]
    if len(best) < 2:
        return []
    step = alt.Chart(pd.DataFrame(best)).mark_line(interpolate="step-before", color="#009E73", opacity=0.6)
    return [step.encode(x=x, y=y)]


def _reference_lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Chance, the reader, and the best map that knows no model, as all rows have them."""
    found = [{"y": 0.0, "words": "chance"}]
    known = {name: joint.alignment(rows[0], name)["value"] for name in (*BLIND, "reader")}
    blind = {name: value for name in BLIND if (value := known[name]) is not None}
    if blind:
        best = max(blind, key=lambda name: blind[name])
        found += [{"y": blind[best], "words": f"best blind map: {best}"}] if blind[best] > 0 else []
    return found + ([{"y": known["reader"], "words": "reader"}] if known["reader"] is not None else [])


def differences_chart(found: Sequence[Mapping[str, Any]]) -> alt.LayerChart | None:
    """Paired differences with their intervals, a row for each score; None where none is defined."""
    frame = pd.DataFrame(found)
    frame = frame[frame.value.notna()].assign(entries=lambda of: of.one + " less " + of.other)
    if frame.empty:
        return None
    base = alt.Chart(frame).encode(
        y=alt.Y("score:N", title=None, sort=list(dict.fromkeys(frame.score)), axis=alt.Axis(labelLimit=200)),
        yOffset=alt.YOffset("entries:N", scale=alt.Scale(padding=0.6)),
        color=alt.Color("entries:N", title=None, scale=alt.Scale(range=list(APART)),
                        legend=alt.Legend(orient="bottom", columns=1, labelLimit=600)),
    )  # fmt: skip
    bars = base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title="difference, 95 % interval"), x2="high:Q")
    marks = base.mark_point(filled=True, size=80, opacity=1).encode(
        x="value:Q", tooltip=["entries:N", "score:N", *(alt.Tooltip(f"{key}:Q", format="+.3f")
                                                        for key in ("value", "low", "high")),
                              alt.Tooltip("holm:Q", title="p, corrected", format=".4f"), "n:Q"],
    )  # fmt: skip
    nothing = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4], color="gray").encode(x="x:Q")
    pairs = frame.entries.nunique()
    return (nothing + bars + marks).properties(
        height=frame.score.nunique() * max(44, 16 + 16 * pairs) + 60,
        description="Differences between entries in each score, with 95 % intervals",
    )
