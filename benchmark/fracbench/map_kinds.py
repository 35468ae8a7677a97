"""What made a map: an explainer of the model, a baseline to beat, or no network at all."""

from __future__ import annotations

from typing import get_args

from fracbench.schema import Given

BASELINES = ("random", "centre", "edges", "randomised")
GIVEN = get_args(Given)
KINDS = ("explainer", "baseline", "given map")


def map_kind(name: str) -> str:
    """The one of ``KINDS`` that an entry of a summary's ``alignment`` belongs to."""
    return "given map" if name in GIVEN else "baseline" if name in BASELINES else "explainer"
