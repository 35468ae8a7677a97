"""The robustness curves of all entries of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
from fracbench.schema import parse_epsilon

from fracbench_leaderboard.figures import colour_by_name, kind_of, legend_height, mark_by_name


def curves(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart | None:
    """Robust balanced accuracy over log2(epsilon); a click in the legend leaves one entry. None without points."""
    points = [
        {"name": row["submission"], "kind": kind_of(row), "written": rung["epsilon"],
         "epsilon": parse_epsilon(rung["epsilon"]), **{key: rung[key] for key in ("sensitivity", "specificity")},
         "accuracy": rung["balanced_accuracy"]}
        for row in rows
        for rung in row["curve"]
        if rung["balanced_accuracy"] is not None
    ]  # fmt: skip
    if not points:
        return None
    rungs = {point["epsilon"]: point["written"] for point in points}
    labels = "{" + ", ".join(f"'{epsilon:.6g}': '{written}'" for epsilon, written in rungs.items()) + "}"
    chosen = alt.selection_point(fields=["name"], bind="legend")
    axis = alt.Axis(values=list(rungs), labelExpr=f"{labels}[format(datum.value, '.6~g')] || datum.label")
    scale = alt.Scale(type="log", base=2, domain=[min(rungs), max(rungs)], nice=False)
    x = alt.X("epsilon:Q", title="epsilon", scale=scale, axis=axis)
    y = alt.Y("accuracy:Q", title="robust balanced accuracy", scale=alt.Scale(domain=[0, 1]))
    lines = (
        alt.Chart(pd.DataFrame(points))
        .mark_line(point={"size": 60})
        .encode(
            x=x, y=y,
            color=colour_by_name(),
            shape=mark_by_name(),
            strokeDash=alt.StrokeDash("kind:N", title=None, legend=alt.Legend(orient="bottom"),
                                      scale=alt.Scale(domain=["ranked", "control", "unranked"],
                                                      range=[[1, 0], [6, 3], [2, 3]])),
            opacity=alt.condition(chosen, alt.value(1.0), alt.value(0.08)),
            tooltip=["name:N", "written:N", *(alt.Tooltip(f"{key}:Q", format=".3f")
                                              for key in ("accuracy", "sensitivity", "specificity"))],
        )
        .add_params(chosen)
    )  # fmt: skip
    always = alt.Chart(pd.DataFrame({"y": [0.5]})).mark_rule(strokeDash=[4, 4], color="gray").encode(y="y:Q")
    tall = 460 + legend_height(len({point["name"] for point in points}))
    return (always + lines).properties(height=tall, description="Robust balanced accuracy of each entry over epsilon")
