"""Figures of the leaderboard, in colours that colour-blind readers tell apart (Okabe and Ito)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

COLOURS = {"ranked": "#0072B2", "control": "#D55E00", "unranked": "#999999"}
SHAPES = {"ranked": "circle", "control": "triangle-up", "unranked": "square"}
COLOURED = 20  # entries that a figure tells apart or names


def kind_of(row: Mapping[str, Any]) -> str:
    """How an entry takes part: ``ranked``, ``control`` or ``unranked``."""
    return "control" if row["control"] else "ranked" if row["rank"] is not None else "unranked"


def colour_by_name() -> alt.Color:
    """A colour for each of up to twenty entries, named in a legend."""
    legend = alt.Legend(orient="right", labelLimit=260)
    return alt.Color("name:N", title=None, scale=alt.Scale(scheme="tableau20"), legend=legend)


def scatter(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart | None:
    """Robust balanced accuracy against calibrated alignment, with 95 % intervals; None without points.

    Of many only the first are named.
    """
    points = [
        {
            "name": row["submission"],
            "kind": kind_of(row),
            **{f"robust_{key}": row["robust"]["balanced_accuracy"][key] for key in ("value", "low", "high")},
            **{f"alignment_{key}": row["calibrated_alignment"][key] for key in ("value", "low", "high")},
        }
        for row in rows
        if row["robust"]["balanced_accuracy"]["value"] is not None and row["calibrated_alignment"]["value"] is not None
    ]
    if not points:
        return None
    for place, point in enumerate(sorted(points[:COLOURED], key=lambda p: p["robust_value"])):
        point["side"] = place % 2
    base = alt.Chart(pd.DataFrame(points))
    low, high = (
        f([p["alignment_value"] for p in points] + [v for p in points if (v := p[f"alignment_{end}"]) is not None])
        for f, end in ((min, "low"), (max, "high"))
    )
    x = alt.X(
        "robust_value:Q",
        title="robust balanced accuracy",
        scale=alt.Scale(domain=[-0.1, 1.1], nice=False),
        axis=alt.Axis(values=[i / 10 for i in range(11)], format=".1f"),
    )
    y = alt.Y("alignment_value:Q", title="calibrated alignment (rank accuracy)",
              scale=alt.Scale(domain=[min(-0.05, low), max(0.5, high)]))  # fmt: skip
    kinds = list(COLOURS)
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=list(COLOURS.values())), title=None,
                       legend=alt.Legend(orient="bottom"))  # fmt: skip
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=list(SHAPES.values())), title=None)
    across = base.mark_rule(opacity=0.55).encode(x="robust_low:Q", x2="robust_high:Q", y=y, color=colour)
    up = base.mark_rule(opacity=0.55).encode(x=x, y="alignment_low:Q", y2="alignment_high:Q", color=colour)
    marks = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape,
        tooltip=["name:N", alt.Tooltip("robust_value:Q", format=".3f"), alt.Tooltip("alignment_value:Q", format=".3f")],
    )  # fmt: skip
    # neighbours along x have their names on different sides, so that close points stay legible
    sides = [base.transform_filter(f"datum.side == {side}").mark_text(dy=dy, fontSize=12, color="gray")
             for side, dy in enumerate((-14, 18))]  # fmt: skip
    above, below = (side.encode(x=x, y=y, text="name:N") for side in sides)
    chance = alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(strokeDash=[4, 4], color="gray").encode(y="y:Q")
    return (chance + across + up + marks + above + below).properties(
        height=380, description="Each entry's robust balanced accuracy and calibrated alignment with 95 % intervals"
    )


def overlay(radiograph: bytes, mask: bytes | None, attributions: bytes | None) -> Image.Image:
    """The radiograph with attributions in orange and the outline of the mask in blue, 384 px."""
    base = np.asarray(Image.open(io.BytesIO(radiograph)).convert("L"), dtype=float)
    colour = np.repeat(base[..., None], 3, axis=2)
    if attributions is not None:
        strength = np.asarray(Image.open(io.BytesIO(attributions)), dtype=float)[..., None] / 255
        colour = colour * (1 - 0.7 * strength) + np.array([230, 120, 0]) * 0.7 * strength
    picture = Image.fromarray(colour.clip(0, 255).astype(np.uint8)).resize((384, 384), Image.Resampling.NEAREST)
    if mask is not None:
        inside = np.asarray(Image.open(io.BytesIO(mask)).resize((384, 384), Image.Resampling.NEAREST)) > 127
        padded = np.pad(inside, 1)
        core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        pixels = np.asarray(picture).copy()
        pixels[inside & ~core] = (86, 180, 233)
        picture = Image.fromarray(pixels)
    return picture


def enlarge(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("L").resize((384, 384), Image.Resampling.NEAREST)
