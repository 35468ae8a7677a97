"""A number's interval as a small picture, for a cell of a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

WIDTH, HEIGHT, EDGE = 150, 34, 4
# legible on a light page and on a dark one; without the # that would end an address
INK, BAR = "rgb(128,139,150)", "rgb(0,114,178)"
FONT = "font-family='sans-serif' font-size='12' text-anchor='middle'"


def interval_bar(name: str, score: Mapping[str, Any]) -> str:
    """A data address of an SVG: the interval on a scale from 0 to 1, its ends in words above it.

    Alignment, which may be worse than chance, has a scale from -0.5 to 1, with a mark at 0. Empty where the number or
    its interval is not known.
    """
    low, high = (-0.5 if "alignment" in name else 0.0), 1.0
    given = [score.get(key) for key in ("low", "value", "high")]
    if None in given:
        return ""
    return _drawn(low, high, *map(float, given))  # type: ignore[arg-type]


@lru_cache(maxsize=10_000)  # a board of hundreds shows the same ones after each filter
def _drawn(low: float, high: float, least: float, value: float, most: float) -> str:
    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return EDGE + share * (WIDTH - 2 * EDGE)

    left, middle, right = at(least), at(value), at(most)
    words = f"{least:.3f} to {most:.3f}"
    y = HEIGHT - 9
    return (  # short, and read as it is: a board has thousands
        f"data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}'>"
        f"<text x='{WIDTH // 2}' y='13' {FONT} fill='{INK}'>{words}</text>"
        f"<path d='M{EDGE} {y}H{WIDTH - EDGE}M{at(0):.1f} {y - 5}V{y + 5}' stroke='{INK}' opacity='.5'/>"
        f"<path d='M{left:.1f} {y}H{right:.1f}' stroke='{BAR}' stroke-width='5'/>"
        f"<circle cx='{middle:.1f}' cy='{y}' r='5' fill='{BAR}' stroke='white'/></svg>"
    )
