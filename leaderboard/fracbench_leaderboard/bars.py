"""A number's interval as a small picture, for a cell of a table."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT, EDGE = 150, 34, 4
INK, BAR = "#808b96", "#0072b2"  # legible on a light page and on a dark one


def interval_bar(score: Mapping[str, Any], low: float = 0.0, high: float = 1.0) -> str:
    """A data address of an SVG: the interval on a scale from ``low`` to ``high``, its ends in words above it.

    Empty where the number or its interval is not known.
    """
    given = [score.get(key) for key in ("low", "value", "high")]
    if None in given:
        return ""
    least, value, most = map(float, given)  # type: ignore[arg-type]

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return EDGE + share * (WIDTH - 2 * EDGE)

    left, middle, right = at(least), at(value), at(most)
    words = f"{least:.3f} to {most:.3f}"
    y = HEIGHT - 9
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f"<title>{words}</title>"
        f'<text x="{WIDTH / 2}" y="13" font-family="sans-serif" font-size="12" fill="{INK}" text-anchor="middle">'
        f"{words}</text>"
        f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}" stroke="{INK}" stroke-width="1" opacity=".5"/>'
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke="{BAR}" stroke-width="5"/>'
        f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{BAR}" stroke="white"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
