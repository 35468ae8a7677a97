"""Reads the pictures of a row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
from fracbench.errors import InputError
from fracbench.png import pixels
from fracbench.store import ResultFolder
from fracbench.text import WORD_PATTERN

TEXTS = ["image", "condition", "attack", "kind", "explainer"]
COLUMNS = ["image", "label", "condition", "attack", "kind", "explainer", "png"]


def read_gallery(row: dict[str, Any]) -> pd.DataFrame:
    """The gallery of a row; empty where there is none, or none that ``run`` writes. ``of_image`` says what is drawn."""
    path = Path(row["path"])
    try:
        gallery = ResultFolder(path, row["submission"], path.name).gallery()
    except InputError:
        return pd.DataFrame(columns=COLUMNS)
    nothing = pd.DataFrame(columns=COLUMNS)
    if not set(COLUMNS) <= set(gallery) or not all(gallery[name].map(_is_text).all() for name in TEXTS):
        return nothing
    # these names come to stand in captions, which are Markdown
    names = {*gallery.attack, *gallery.explainer} - {""}
    if not all(re.fullmatch(WORD_PATTERN, name) for name in names):
        return nothing
    return gallery


def of_image(gallery: pd.DataFrame, image: str) -> pd.DataFrame:
    """What a gallery has of one image, without what is no picture."""
    mine = gallery[gallery.image == image]
    return mine[[pixels(png) is not None for png in mine.png]]


def _is_text(value: object) -> bool:
    return isinstance(value, str)
