"""Reads the pictures of a row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
from fracbench.errors import InputError
from fracbench.store import ResultFolder
from fracbench.text import WORD_PATTERN

COLUMNS = ["image", "label", "condition", "attack", "kind", "explainer", "png"]


def read_gallery(row: dict[str, Any]) -> pd.DataFrame:
    """The gallery of a row; empty where there is none, or none that ``run`` writes."""
    path = Path(row["path"])
    try:
        gallery = ResultFolder(path, row["submission"], path.name).gallery()
    except InputError:
        return pd.DataFrame(columns=COLUMNS)
    # these names come to stand in captions, which are Markdown
    named = set(COLUMNS) <= set(gallery) and all(
        name == "" or (isinstance(name, str) and re.fullmatch(WORD_PATTERN, name))
        for column in ("attack", "explainer")
        for name in gallery[column].unique()
    )
    return gallery if named else pd.DataFrame(columns=COLUMNS)
