"""The pictures of a row: a gallery that ``run`` does not write is none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fracbench_leaderboard.reading import COLUMNS, read_gallery


@pytest.mark.parametrize("column", ["attack", "explainer"])
def test_names_that_could_be_markup_in_a_caption_make_the_gallery_none(column: str, tmp_path: Path) -> None:
    row = {"path": str(tmp_path), "submission": "a"}
    line = dict(
        zip(COLUMNS, ["images/1.png", 1, "strongest", "autoattack", "attributions", "saliency", b"x"], strict=True)
    )
    pd.DataFrame([line, line | {"attack": "", "explainer": ""}]).to_parquet(tmp_path / "gallery.parquet")
    assert len(read_gallery(row)) == 2
    for evil in ("![x](http://evil.example/x.png)", "[a](b)", "a\nb", None):
        pd.DataFrame([line, line | {column: evil}]).to_parquet(tmp_path / "gallery.parquet")
        assert read_gallery(row).empty
    pd.DataFrame([line]).drop(columns=column).to_parquet(tmp_path / "gallery.parquet")
    assert read_gallery(row).empty
