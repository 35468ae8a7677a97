"""Figures of a study: what changes within training pairs, relations across models, and doses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from fracbench.files import write_atomic
from fracbench.study.words import ours_of

from fracbench_leaderboard.drawing import drawn
from fracbench_leaderboard.figures import APART, colour_by_name, legend_height, mark_by_name

Study = Mapping[str, Any]
KINDS = ("a pair", "all pairs", "all pairs, one explainer")


def write(study: Study, folder: Path) -> list[Path]:
    """Each figure that has something to show, as SVG below ``folder``; their paths."""
    paths = []
    for name, make in {"pairs": pairs_chart, "across": across_chart, "dose": dose_chart}.items():
        chart = make(study)
        if chart is not None:
            paths.append(folder / f"{name}.svg")
            write_atomic(paths[-1], drawn(chart, "svg"))
    return paths


def pairs_chart(study: Study) -> alt.LayerChart | None:
    """The change of each training pair, of all, and of all for each explainer alone; None without pairs."""
    primary = study["primary"]
    lines = [{"name": f"{of['adversarial']} less {of['standard']}", "kind": KINDS[0], **of} for of in primary["each"]]
    lines.append({"name": "all pairs (primary)", "kind": KINDS[1], **primary})
    lines += [{"name": f"all pairs, {name}", "kind": KINDS[2], **of} for name, of in study["by_explainer"].items()]
    frame = pd.DataFrame([{key: of[key] for key in ("name", "kind", "value", "low", "high")} for of in lines])
    frame = frame[frame.value.notna()]
    if frame.empty:
        return None
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=list(frame.name), title=None, axis=alt.Axis(labelLimit=420, labelOverlap=False)),
        color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=list(KINDS), range=list(APART[:3])),
                        legend=alt.Legend(orient="bottom", labelLimit=300)),
    )  # fmt: skip
    title = "raw alignment, adversarial less standard, 95 % interval"
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    shape = alt.Shape("kind:N", title=None, scale=alt.Scale(domain=list(KINDS), range=["circle", "diamond", "square"]))
    told = ["name:N", *(alt.Tooltip(f"{key}:Q", format="+.3f") for key in ("value", "low", "high"))]
    marks = base.mark_point(filled=True, size=90, opacity=1).encode(x="value:Q", shape=shape, tooltip=told)
    relevant = study["plan"]["relevant"]
    at = pd.DataFrame({"x": [-relevant, 0.0, relevant], "dash": ["would matter", "nothing", "would matter"]})
    dashes = alt.Scale(domain=["nothing", "would matter"], range=[[1, 0], [4, 4]])
    rules = (
        alt.Chart(at)
        .mark_rule(color="gray", opacity=0.7)
        .encode(x="x:Q", strokeDash=alt.StrokeDash("dash:N", legend=None, scale=dashes))
    )
    return (rules + bars + marks).properties(
        height=26 * len(frame) + 110,
        description="Change of alignment within training pairs, with intervals; dashed lines bound what would matter",
    )


def across_chart(study: Study) -> alt.LayerChart | None:
    """Robustness against alignment by our protocol, every model a point; None where fewer than two have both."""
    ours = ours_of(study)
    points = [of for of in ours["points"] if None not in of.values() and of["robustness"] == of["robustness"]
              and of["alignment"] == of["alignment"]]  # fmt: skip
    if len(points) < 2:
        return None
    base = alt.Chart(pd.DataFrame(points)).encode(
        x=alt.X("robustness:Q", title=ours["robustness"], scale=alt.Scale(zero=False)),
        y=alt.Y("alignment:Q", title=ours["alignment"], scale=alt.Scale(zero=False)),
    )
    told = ["name:N", *(alt.Tooltip(f"{key}:Q", format=".3f") for key in ("robustness", "alignment"))]
    marks = base.mark_point(filled=True, size=90, opacity=1).encode(color=colour_by_name(), shape=mark_by_name(),
                                                                    tooltip=told)  # fmt: skip
    return alt.LayerChart(layer=[marks]).properties(
        height=300 + legend_height(len(points)), description="Robustness and alignment of every model, by our protocol"
    )


def dose_chart(study: Study) -> alt.LayerChart | None:
    """Alignment, clean and robust accuracy along each series of growing epsilon; None without a series."""
    lines = [
        {
            "network": f"{of['network']}, seed {of['seed']}",
            "epsilon": 255 * of["epsilon"],
            "what": word,
            "value": of[key],
        }
        for series in study["dose"]
        for of in series
        for key, word in (("raw", "raw alignment"), ("clean", "clean accuracy"), ("robust", "robust accuracy"))
    ]
    if not lines:
        return None
    bottom = alt.Legend(orient="bottom", labelLimit=400, columns=1)
    base = alt.Chart(pd.DataFrame(lines)).encode(
        x=alt.X("epsilon:Q", title="epsilon of training, of 255"),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("what:N", title=None, scale=alt.Scale(range=list(APART)), legend=bottom),
        strokeDash=alt.StrokeDash("network:N", title=None, legend=bottom),
    )
    return alt.LayerChart(layer=[base.mark_line(), base.mark_point(filled=True, size=70, opacity=1)]).properties(
        height=380, description="Alignment and accuracies of one network trained at growing epsilon"
    )
