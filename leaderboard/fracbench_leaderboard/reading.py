"""Reads the pictures of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from fracbench.errors import InputError
from fracbench.store import ResultFolder


def read_gallery(row: dict[str, Any]) -> pd.DataFrame:
    """The gallery of a row; empty where there is none."""
    path = Path(row["path"])
    try:
        return ResultFolder(path, row["submission"], path.name).gallery()
    except InputError:
        return pd.DataFrame(columns=["image", "label", "condition", "attack", "kind", "explainer", "png"])
