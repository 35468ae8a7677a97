"""The calibrated alignment of all entries of a board, explainer by explainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
from fracbench.map_kinds import KINDS, map_kind

from fracbench_leaderboard.figures import colour_by_name, legend_height, mark_by_name

BANDS = ["transparent", "#8c8c8c33", "#0072b226"]  # behind the rows of each kind, on a light page or a dark one


def clean_scores(rows: Mapping[str, Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A point for each entry and explainer whose score on clean images is defined; ``rows`` by name."""
    return [
        {"name": name, "explainer": explainer, "kind": map_kind(explainer), **of}
        for name, row in rows.items()
        for explainer, metrics in row["alignment"].items()
        if (of := metrics.get(metric, {}).get("clean")) and of["calibrated"] is not None
    ]


def dots(points: Sequence[Mapping[str, Any]], metric: str) -> alt.LayerChart:
    """Calibrated scores, one row per explainer; a click in the legend leaves one entry."""
    order = sorted(dict.fromkeys(p["explainer"] for p in points), key=lambda name: KINDS.index(map_kind(name)))
    entries = len({p["name"] for p in points})
    y = alt.Y("explainer:N", sort=order, title=None, scale=alt.Scale(paddingInner=0.08, paddingOuter=0.04),
              axis=alt.Axis(labelLimit=200, labelFontSize=13, labelOverlap=False, ticks=False,
                            domain=False))  # fmt: skip
    values = [p["calibrated"] for p in points]
    ends = [min(-0.1, min(values) - 0.03), max(1.05, max(values) + 0.03)]
    x = alt.X("calibrated:Q", title=f"calibrated {metric}", axis=alt.Axis(tickCount=12, format=".1f"),
              scale=alt.Scale(domain=ends, nice=False))  # fmt: skip
    chosen = alt.selection_point(fields=["name"], bind="legend")
    marks = (
        alt.Chart(pd.DataFrame(points))
        .mark_point(filled=True, size=70)
        .encode(
            x=x, y=y, yOffset=alt.YOffset("name:N", scale=alt.Scale(padding=0.7)), color=colour_by_name(),
            shape=mark_by_name(),
            opacity=alt.condition(chosen, alt.value(1.0), alt.value(0.08)),
            tooltip=["name:N", "explainer:N", "kind:N", *(alt.Tooltip(f"{key}:Q", format=".3f")
                                                for key in ("calibrated", "raw", "chance", "ceiling")), "n:Q"],
        )
        .add_params(chosen)
    )  # fmt: skip
    kinds = pd.DataFrame([{"explainer": name, "kind": map_kind(name)} for name in order])
    bands = alt.Chart(kinds).mark_rect(height=alt.RelativeBandSize(band=1), stroke="#8c8c8c55").encode(
        y=y, color=alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=BANDS), legend=None)
    )  # fmt: skip
    bounds = alt.Chart(pd.DataFrame({"at": [0.0, 1.0], "words": ["chance", "ceiling"]}))
    lines = bounds.mark_rule(strokeDash=[4, 4], color="gray").encode(x="at:Q")
    words = bounds.mark_text(color="gray", baseline="bottom", dy=-4).encode(x="at:Q", y=alt.value(0), text="words:N")
    row = min(64, max(26, 16 + 4 * entries))
    tall = 110 + row * len(order) + legend_height(entries)
    return (
        alt.layer(bands, lines, words, marks)
        .resolve_scale(color="independent", shape="independent", yOffset="independent")
        .properties(height=tall, description=f"Calibrated {metric} of each entry on clean images, by explainer")
    )
