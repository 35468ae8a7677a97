"""Reads what lies beside the summary of a row: pictures, tables and the run record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from fracbench.errors import InputError
from fracbench.kept_rows import state_of
from fracbench.png import pixels
from fracbench.store import ResultFolder
from fracbench.submission_schema import Submission
from fracbench.text import WORD_PATTERN
from pandas.api import types
from pydantic import ValidationError

TEXTS = ["image", "condition", "attack", "kind", "explainer"]
COLUMNS = ["image", "label", "condition", "attack", "kind", "explainer", "png"]

# what the pages read of each table
COLUMNS_OF = {
    "images": {"text": {"image", "group", "metadata"}, "number": {"label", "mask_area", "content"},
               "bool": {"annotated"}},
    "predictions": {"text": {"image", "threat", "attack", "part"}, "number": {"epsilon", "margin"},
                    "bool": {"correct", "ladder"}},
    "alignment": {"text": {"image", "attack", "explainer", "grid"}, "number": {"hit"}},
}  # fmt: skip
KINDS: dict[str, Callable[[pd.Series], bool]] = {
    "text": lambda of: types.infer_dtype(of, skipna=False) in ("string", "empty"),
    "number": lambda of: types.is_numeric_dtype(of) and not types.is_bool_dtype(of),
    "bool": types.is_bool_dtype,
}


def read_gallery(row: Mapping[str, Any]) -> pd.DataFrame:
    """The gallery of a row; empty where there is none, or none that ``run`` writes. ``of_image`` says what is drawn."""
    path = Path(row["path"])
    return _gallery(path, state_of(path))


@st.cache_resource(max_entries=8, show_spinner=False)  # not to be written to
def _gallery(path: Path, state: Any) -> pd.DataFrame:
    nothing = pd.DataFrame(columns=COLUMNS)
    try:
        gallery = ResultFolder(path, "", path.name).gallery()
    except InputError:
        return nothing
    if not set(COLUMNS) <= set(gallery) or not all(gallery[name].map(_is_text).all() for name in TEXTS):
        return nothing
    # these names come to stand in captions, which are Markdown
    names = {*gallery.attack, *gallery.explainer} - {""}
    if not all(re.fullmatch(WORD_PATTERN, name) for name in names):
        return nothing
    return gallery


def read_run(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The run record of a row; None where it cannot be read. What it holds may come from a stranger."""
    try:
        path = Path(row["path"])
        return ResultFolder(path, row["submission"], path.name).run()
    except InputError:
        return None


def submission_of(run: Mapping[str, Any]) -> Submission | None:
    """What the submission said of itself when it ran, checked again; None where it is not what a submission says."""
    said = {name: run.get(name) for name in Submission.model_fields if name in run}
    try:
        return Submission.model_validate(said | {"name": run.get("submission")})
    except ValidationError:
        return None


def read_tables(row: Mapping[str, Any], *names: str) -> dict[str, pd.DataFrame] | None:
    """Tables of a row; None where one is missing or has not the columns that ``run`` writes."""
    path = Path(row["path"])
    state = state_of(path)
    tables = {name: _table(path, name, state) for name in names}
    found = {name: of for name, of in tables.items() if of is not None}
    return found if len(found) == len(names) else None


@st.cache_resource(max_entries=16, show_spinner=False)  # not to be written to: a copy of them takes long
def _table(path: Path, name: str, state: Any) -> pd.DataFrame | None:
    try:
        table = ResultFolder(path, "", path.name).table(name)
    except InputError:
        return None
    columns = [(column, KINDS[kind]) for kind, of in COLUMNS_OF[name].items() for column in of]
    sound = all(column in table and is_kind(table[column]) for column, is_kind in columns)
    return table if sound and (name != "images" or table.image.is_unique) else None


def of_image(gallery: pd.DataFrame, image: str) -> pd.DataFrame:
    """What a gallery has of one image, without what is no picture."""
    mine = gallery[gallery.image == image]
    return mine[[pixels(png) is not None for png in mine.png]]


def picture(gallery: pd.DataFrame, condition: str, kind: str, explainer: str = "") -> bytes | None:
    """One picture of one image; None where there is none."""
    found = gallery[(gallery.condition == condition) & (gallery.kind == kind) & (gallery.explainer == explainer)]
    return None if found.empty else bytes(found.iloc[0].png)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
