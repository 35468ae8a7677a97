"""Files whole or not at all, and what is broken is said, never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fracbench.cell_store import CellFolder, CellResult
from fracbench.cells import record_of
from fracbench.errors import InputError
from fracbench.files import write_atomic
from fracbench.plan import Cell
from fracbench.resolving import MOST_CELLS
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import TABLES, ResultFolder, find_results


def test_a_cell_comes_back_as_it_was_and_under_its_name_only(tmp_path: Path) -> None:
    cells = CellFolder(tmp_path)
    table = pd.DataFrame({"image": ["a", "b"], "margin": [0.1, np.nan]})
    images = np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32)
    cells.write({"cell": 1}, CellResult({"status": "done"}, {"predictions": table}, images))
    found = cells.read({"cell": 1})
    assert found is not None
    pd.testing.assert_frame_equal(found.tables["predictions"], table)
    np.testing.assert_array_equal(found.images, images)
    assert cells.read({"cell": 2}) is None


def test_a_failed_cell_is_tried_again(tmp_path: Path) -> None:
    cells = CellFolder(tmp_path)
    cells.write({"cell": 1}, CellResult({"status": "failed"}))
    assert cells.read({"cell": 1}) is None


def test_a_cell_with_any_byte_changed_is_whole_or_missing(tmp_path: Path) -> None:
    cells = CellFolder(tmp_path)
    cells.write({"cell": 1}, CellResult({"status": "done"}, {"predictions": pd.DataFrame({"margin": [0.5]})}))
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    ends = [*range(80), *range(len(content) - 200, len(content))]  # where headers are, which no checksum covers
    found = []
    for place in ends:
        for bit in (0, 3, 7):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            result = cells.read({"cell": 1})
            assert result is None or result.status == "done"
            found.append(result)
    assert None in found


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "a", b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_atomic(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    "content, says",
    [
        ("{", "cannot be read"),
        ("[]", "version list"),
        ('{"schema_version": 99}', f"version 99, this fracbench reads {SCHEMA_VERSION}"),
    ],
)
def test_a_broken_summary_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match=says):
        ResultFolder(tmp_path, "a", "s").summary()


def test_undefined_numbers_are_null_and_come_back(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path, "a", "s")
    folder.write_summary({"schema_version": 1, "headline": {"value": float("nan"), "n": np.int64(3)}})
    assert "NaN" not in (tmp_path / "summary.json").read_text()
    assert json.loads((tmp_path / "summary.json").read_text())["headline"] == {"value": None, "n": 3}


def test_a_record_of_many_cells_has_a_line_for_each_and_can_be_read(tmp_path: Path) -> None:
    """As many as a run may have, each with what a cell holds."""
    cell = record_of(Cell("explain", 99, "apgd-margin", "0.0625/255", "integrated_gradients"), 256) | {
        "micro_batch": 64
    }
    cell |= {"seconds": 123.45678901234567, "forward": 1_000_000, "backward": 1_000_000}
    folder, some = ResultFolder(tmp_path, "a", "s"), pd.DataFrame({"image": ["a"]})
    run = {"schema_version": SCHEMA_VERSION, "cells": [cell] * MOST_CELLS}
    folder.write(dict.fromkeys(TABLES, some), run, {"schema_version": SCHEMA_VERSION})
    assert (folder.run() or {})["cells"] == run["cells"]
    assert len((tmp_path / "run.json").read_text().splitlines()) < MOST_CELLS + 10


def test_results_are_found_in_both_places(tmp_path: Path) -> None:
    for place in ("submissions/a/results/s", "results/b/s", "results/c/running/cells"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "submissions/a/results/s/summary.json").write_text("{}")
    (tmp_path / "results/b/s/summary.json").write_text("{}")
    found = find_results(tmp_path / "submissions", tmp_path / "results")
    assert sorted((folder.submission, folder.spec) for folder in found) == [("a", "s"), ("b", "s"), ("c", "running")]
