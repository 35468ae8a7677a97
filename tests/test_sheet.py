"""The contact sheet of a dataset, and the command that writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fracbench.contracts import InputError
from fracbench.sheet import COLUMNS, OUTLINE, TILE, contact_sheet
from PIL import Image
from test_cli import call, refused
from worlds import Blobs


def test_every_split_has_a_row_of_each_label_with_outlines_on_the_fractured() -> None:
    sheet = np.asarray(contact_sheet(Blobs(), ("train", "test")))
    height = sheet.shape[0] // 4
    assert sheet.shape[1] == COLUMNS * TILE
    outlined = [(sheet[i * height : (i + 1) * height] == OUTLINE).all(2).sum() for i in range(4)]
    assert outlined[0] > 100 and outlined[2] > 100 and outlined[1] == outlined[3] == 0


def test_a_split_with_few_images_leaves_room() -> None:
    assert contact_sheet(Blobs(n=2), ("test",)).size[0] == COLUMNS * TILE


def test_an_unknown_split_is_refused() -> None:
    from fracbench import registry

    with pytest.raises(InputError, match="no split"):
        contact_sheet(registry.make("datasets", "phantom", {}), ("tets",))


def test_the_command_writes_a_picture_or_one_line(blobs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("data", "blobs", "--split", "test")
    assert done.exit_code == 0 and "wrote blobs-sheet.png" in done.output
    assert Image.open(tmp_path / "blobs-sheet.png").size[0] == COLUMNS * TILE
    refused(call("data", "phantm"), "Did you mean 'phantom'?")
    refused(call("data", "folder"), "needs --data DIR")
    refused(call("data", "blobs", "--out", "sheet.jpg"), "name a .png file")
    (tmp_path / "folder.png").mkdir()
    refused(call("data", "blobs", "--out", "folder.png"), "name a .png file")
    refused(call("data", "blobs", "--out", "a" * 300 + ".png"), "name a .png file")
    refused(call("data", "blobs", "--out", "/proc/sheet.png"), "--out /proc: cannot be written to")
    refused(call("data", "fracatlas", "--data", "nowhere"), "no such folder")
