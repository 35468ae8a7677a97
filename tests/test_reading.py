"""The pictures of a row: a gallery that ``run`` does not write is none."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from fracbench import store
from fracbench.errors import InputError
from fracbench.png import GALLERY_SIDE
from fracbench_leaderboard.reading import COLUMNS, of_image, read_gallery
from PIL import Image


def picture(side: int = GALLERY_SIDE, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "png", [b"x", "text", picture()[:-30], picture(13_000), picture(mode="RGB"), None], ids=range(6)
)
def test_what_is_no_picture_of_a_gallery_is_not_drawn(png: object, tmp_path: Path) -> None:
    good = dict(zip(COLUMNS, ["1.png", 1, "clean", "clean", "radiograph", "", picture()], strict=True))
    pd.DataFrame([good | {"png": png}, good]).to_parquet(tmp_path / "gallery.parquet")
    read = read_gallery({"path": str(tmp_path), "submission": "a"})
    assert len(of_image(read, "1.png")) == 1 and of_image(read, "2.png").empty
    pd.DataFrame([good | {"condition": ["clean"]}]).to_parquet(tmp_path / "gallery.parquet")
    assert read_gallery({"path": str(tmp_path), "submission": "a"}).empty


def test_a_small_file_that_unpacks_to_much_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LARGEST_TABLE", 10_000_000)
    good = dict(zip(COLUMNS, ["1.png", 1, "clean", "clean", "radiograph", "", picture()], strict=True))
    pd.DataFrame([good | {"png": bytes(100_000)}] * 1000).to_parquet(tmp_path / "gallery.parquet")
    assert (tmp_path / "gallery.parquet").stat().st_size < 1_000_000
    with pytest.raises(InputError, match="unpacks to more than 10000000 bytes"):
        store.ResultFolder(tmp_path, "a", "smoke").gallery()
    assert read_gallery({"path": str(tmp_path), "submission": "a"}).empty


@pytest.mark.parametrize("column", ["attack", "explainer"])
def test_names_that_could_be_markup_in_a_caption_make_the_gallery_none(column: str, tmp_path: Path) -> None:
    row = {"path": str(tmp_path), "submission": "a"}
    line = dict(
        zip(COLUMNS, ["images/1.png", 1, "strongest", "autoattack", "attributions", "saliency", picture()], strict=True)
    )
    pd.DataFrame([line, line | {"attack": "", "explainer": ""}]).to_parquet(tmp_path / "gallery.parquet")
    assert len(read_gallery(row)) == 2
    for evil in ("![x](http://evil.example/x.png)", "[a](b)", "a\nb", None):
        pd.DataFrame([line, line | {column: evil}]).to_parquet(tmp_path / "gallery.parquet")
        assert read_gallery(row).empty
    pd.DataFrame([line]).drop(columns=column).to_parquet(tmp_path / "gallery.parquet")
    assert read_gallery(row).empty
