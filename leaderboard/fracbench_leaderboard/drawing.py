"""Figures and tables as they are taken home."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from fracbench.text import FORMULA

NUMBERS = re.compile(r"(?=.*[\d–])[-+\d.,\[\]()/%→<–n=\s]*")  # with intervals, fractions and n
WIDTH = 900  # pixels


def drawn(chart: Any, kind: str) -> bytes:
    """A figure as ``svg`` or ``png``, on white."""
    sized = chart.properties(width=WIDTH).configure(background="white")
    buffer = io.BytesIO() if kind == "png" else io.StringIO()
    sized.save(buffer, format=kind, **({"scale_factor": 2} if kind == "png" else {}))
    made = buffer.getvalue()
    return made if isinstance(made, bytes) else made.encode()


def _harmless(cell: object) -> object:
    """Words that a spreadsheet would take for a formula have a ' before them."""
    formula = isinstance(cell, str) and cell.startswith(tuple(FORMULA)) and not NUMBERS.fullmatch(cell)
    return f"'{cell}" if formula else cell


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of flat columns, lists in words, whatever a page made of it."""
    flat = frame.copy()
    flat.columns = [re.sub(r"^ | $", "", " ".join(name)) if isinstance(name, tuple) else str(name) for name in frame]
    for name in flat:
        flat[name] = flat[name].map(_harmless)
        if flat[name].map(lambda of: isinstance(of, Sequence) and not isinstance(of, str)).any():
            flat[name] = flat[name].map("; ".join)
    return flat
