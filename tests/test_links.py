"""Nothing is written, read or ranked where a link inside a submission leads, and results count in one place alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fracbench.board import read_board
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import ResultFolder
from test_cli import TINY, call, refused, submissions

NAME = "phantom-resnet-standard"
COMMON = ("--benchmark", "smoke", "--limit", "4", "--budget", "0.1")


@pytest.mark.parametrize("part", ["results", "results/smoke-custom", "results/smoke-custom/cells"])
def test_a_run_writes_and_deletes_nothing_behind_a_link(part: str, tmp_path: Path) -> None:
    folder = submissions(tmp_path, TINY)
    outside = tmp_path / "outside"
    (outside / "smoke-custom" / "cells").mkdir(parents=True)
    for place in (outside, outside / "smoke-custom", outside / "smoke-custom" / "cells"):
        (place / "precious.txt").write_text("mine")
    link = folder / "tiny" / part
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside.joinpath(*Path(part).parts[1:]))
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    refused(call("run", "tiny", *COMMON, "--submissions", folder), "is a link; results are written where they lie")
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_a_linked_submission_is_refused(tmp_path: Path) -> None:
    folder = submissions(tmp_path, TINY)
    (tmp_path / "there").mkdir()
    shutil.move(folder / "tiny", tmp_path / "there" / "tiny")
    (folder / "tiny").symlink_to(tmp_path / "there" / "tiny")
    refused(
        call("run", "tiny", *COMMON, "--submissions", folder), "is reached by a link; put the files themselves there"
    )


def test_results_do_not_count_in_another_submissions_folder(smoke: Path, tmp_path: Path) -> None:
    good = tmp_path / "submissions" / NAME / "results" / "smoke"
    shutil.copytree(smoke / NAME / "smoke", good)
    shutil.copytree(good, tmp_path / "submissions" / "copied" / "results" / "smoke")
    linked = tmp_path / "submissions" / "linked" / "results"
    linked.parent.mkdir()
    linked.symlink_to(good.parent)
    ResultFolder(good, NAME, "smoke").stamp({"date": "2026", "cells": []})
    shutil.copy(good / "verified.json", tmp_path / "submissions" / "copied" / "results" / "smoke" / "verified.json")
    rows = {row["submission"]: row for row in read_board(tmp_path / "submissions", None).rows}
    assert set(rows) == {NAME, "copied"}, "a link is no result"
    assert rows[NAME]["ranked"] and rows[NAME]["verified"]
    assert not rows["copied"]["ranked"] and rows["copied"]["self_reported"] and not rows["copied"]["verified"]


@pytest.mark.slow
def test_files_of_one_submission_stop_no_other(tmp_path: Path) -> None:
    folder = submissions(tmp_path, TINY)
    sealed = {"schema_version": SCHEMA_VERSION, "seal": "é", "cells": []}
    spoil: dict[str, Callable[[Path], object]] = {
        "a-file": lambda place: (place.parent.parent / "results").write_text("a file"),
        "a-folder": lambda place: (place / "predictions.parquet" / "x").mkdir(parents=True),
        "a-seal": lambda place: _write(place / "run.json", json.dumps(sealed)),
        "a-bomb": lambda place: _write(place / "run.json", "[" + "[]," * 6_000_000 + "[]]"),
    }
    for name, spoils in spoil.items():
        (folder / name).mkdir()
        (folder / name / "submission.yaml").write_text(TINY.replace("name: tiny", f"name: {name}"))
        spoils(folder / name / "results" / "smoke-custom")
    result = call("run", "--all", *COMMON, "--submissions", folder)
    assert result.exit_code == 1 and "Traceback" not in result.output, result.output
    lines = result.output.splitlines()
    assert any("a-file" in line and "cannot be written to" in line for line in lines)
    assert any(
        "a-folder" in line and "what is finished is kept: mend that and repeat the command" in line for line in lines
    )
    for name in ("tiny", "a-seal", "a-bomb"):
        assert json.loads((folder / name / "results" / "smoke-custom" / "run.json").read_text())["submission"] == name


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
