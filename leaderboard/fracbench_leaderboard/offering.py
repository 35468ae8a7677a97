"""Tables and figures of a page, with what a reader may take home: CSV and Parquet, SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st
from PIL import Image

from fracbench_leaderboard.drawing import NUMBERS, drawn, plain
from fracbench_leaderboard.pictures import together

LONG = 30  # lines beyond which a table scrolls


def offer_table(
    frame: pd.DataFrame,
    name: str,
    *,
    whole: Callable[[], pd.DataFrame] | None = None,
    config: Any = None,
    words: bool = False,
) -> None:
    """Show a table with buttons below it that download it, or what ``whole`` makes, which it is drawn from.

    A table of ``words`` breaks its lines, so that all can be read.
    """
    if words:
        st.table(frame.set_index(frame.columns[0]))
    else:
        height: Literal["content", "auto"] = "content" if len(frame) <= LONG else "auto"
        config = aligned(frame) | (config or {})
        st.dataframe(frame, hide_index=True, height=height, column_config=config,
                     alt=name.replace("-", " "))  # fmt: skip

    def taken() -> pd.DataFrame:
        return plain(frame if whole is None else whole())

    with st.container(horizontal=True, gap="small"):
        st.download_button("CSV", lambda: taken().to_csv(index=False).encode(), f"{name}.csv", "text/csv",
                           key=f"{name}-csv", type="tertiary", on_click="ignore")  # fmt: skip
        st.download_button("Parquet", lambda: _parquet(taken()), f"{name}.parquet", "application/vnd.apache.parquet",
                           key=f"{name}-parquet", type="tertiary", on_click="ignore")  # fmt: skip


def aligned(frame: pd.DataFrame) -> dict[Any, Any]:
    """Numbers written as text stand on the right, so that their digits are below each other."""
    keys = range(1, frame.shape[1] + 1) if frame.columns.nlevels > 1 else frame.columns  # by place, after the index
    numeric = st.column_config.Column(alignment="right")

    def is_number(cell: object) -> bool:
        return isinstance(cell, str) and NUMBERS.fullmatch(cell) is not None

    found = zip(keys, frame.items(), strict=True)
    return {key: numeric for key, (_, cells) in found if len(cells) and all(map(is_number, cells))}


def offer_figure(chart: Any, name: str, clicked: str | None = None) -> list[dict[str, Any]]:
    """Show a figure with buttons below it that download it; what the reader chose by its parameter ``clicked``."""
    chosen: list[dict[str, Any]] = []
    if clicked is None:
        st.altair_chart(chart, width="stretch")  # its description says what it shows
    else:
        event = st.altair_chart(chart, width="stretch", on_select="rerun", selection_mode=clicked, key=f"{name}-figure")
        chosen = list(event["selection"].get(clicked, []))
    with st.container(horizontal=True, gap="small"):
        for kind, mime in (("SVG", "image/svg+xml"), ("PNG", "image/png")):
            st.download_button(kind, partial(drawn, chart, kind.lower()), f"{name}.{kind.lower()}", mime,
                               key=f"{name}-{kind}", type="tertiary", on_click="ignore")  # fmt: skip
    return chosen


def offer_pictures(shown: Sequence[tuple[str, Image.Image]], columns: int, name: str) -> None:
    """A button that downloads these pictures with their captions as one, so many beside each other."""
    if shown:
        st.download_button("PNG", partial(together, shown, columns), f"{name}.png", "image/png",
                           key=f"{name}-png", type="tertiary", on_click="ignore")  # fmt: skip


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
