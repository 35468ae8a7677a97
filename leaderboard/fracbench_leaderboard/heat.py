"""Every explainer of one model in every metric, at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd
from fracbench.map_kinds import KINDS, map_kind


def heat_map(row: Mapping[str, Any], value: str, condition: str) -> alt.LayerChart:
    """A square for each explainer and metric, with its number; a dash where the number is not defined.

    ``value`` is one of ``alignment_tables.CALIBRATED``, ``condition`` is ``clean`` or an attack. Blue is above 0 and
    orange below it.
    """
    squares = [
        {"explainer": explainer, "metric": metric.replace("_", " "), "value": of[condition][value],
         "words": "–" if of[condition][value] is None else f"{round(of[condition][value], 2) + 0.0:.2f}",
         "n": of[condition]["n"], "kind": map_kind(explainer)}
        for explainer, metrics in row["alignment"].items()
        for metric, of in metrics.items()
        if condition in of
    ]  # fmt: skip
    frame = pd.DataFrame(squares)
    order = sorted(dict.fromkeys(frame.explainer), key=lambda name: KINDS.index(map_kind(name)))
    base = alt.Chart(frame).encode(
        x=alt.X("metric:N", sort=list(dict.fromkeys(frame.metric)), title=None,
                axis=alt.Axis(labelAngle=-30, labelLimit=200, labelOverlap=False, orient="top")),
        y=alt.Y("explainer:N", sort=order, title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=["explainer:N", "kind:N", "metric:N", alt.Tooltip("value:Q", format=".3f"), "n:Q"],
    )  # fmt: skip
    scale = alt.Scale(domain=[-1, 0, 1], range=["#d55e00", "#f2f2f2", "#0072b2"], clamp=True)
    colour = alt.Color("value:Q", scale=scale, title=f"{value}, {'clean' if condition == 'clean' else condition}")
    words = alt.Color("ink:N", scale=None)
    ink = "datum.value != null && abs(datum.value) > 0.6 ? 'white' : 'black'"
    text = base.transform_calculate(ink=ink).mark_text(fontSize=12).encode(text="words:N", color=words)
    layers = base.mark_rect(stroke="#8c8c8c55").encode(color=colour) + text
    return layers.resolve_scale(color="independent").properties(
        height=70 + 28 * len(order),
        description=f"{value} score of each explainer in each metric, {condition} fractured images",
    )
