"""A board read again reads only what has changed, and never takes another user's word for whose results these are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fracbench import board, kept_rows
from fracbench.board import read_board, whole
from fracbench.errors import InputError


@pytest.fixture
def results(smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of this user, who keeps rows in a cache of their own, and a process that has read nothing yet."""
    cache = Path(kept_rows.cache_dir())
    shutil.copytree(smoke, tmp_path / "results")
    (tmp_path / "cache").mkdir()
    shutil.copy(cache / "key", tmp_path / "cache" / "key")
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_rows, "_kept", {})
    return tmp_path / "results"


def test_a_row_leads_to_its_folder_from_wherever_the_board_is_opened(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.parent)
    read_board(Path("none"), Path("results"))
    monkeypatch.setattr(kept_rows, "_kept", {})
    monkeypatch.chdir("/")
    for row in read_board(Path("none"), results).rows:
        assert whole(row)["submission"] == row["submission"]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files whose rows were read and checked."""
    seen: list[str] = []
    check = board.check_row

    def seeing(row: dict[str, Any], where: str) -> None:
        seen.append(Path(where).parent.parent.name)
        check(row, where)

    monkeypatch.setattr(board, "check_row", seeing)
    return seen


def rows_of(results: Path) -> dict[str, dict[str, Any]]:
    return {row["submission"]: row for row in read_board(results, results).rows}


def test_only_what_has_changed_is_read_again(
    results: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rows_of(results)
    assert sorted(checked) == sorted(first)
    monkeypatch.setattr(kept_rows, "_kept", {})  # another process
    assert rows_of(results) == first and len(checked) == len(first)
    changed = "phantom-resnet-standard"
    file = results / changed / "smoke" / "summary.json"
    file.write_text(file.read_text())
    assert rows_of(results) == first and checked[len(first) :] == [changed], "the same content in a file written anew"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"note": "changed"}))
    after = rows_of(results)
    assert after[changed]["self_reported"] and not first[changed]["self_reported"]
    (results / changed / "smoke" / "alignment.parquet").write_bytes(b"")
    assert rows_of(results)[changed]["rank"] is None
    shutil.rmtree(results / changed)
    assert set(rows_of(results)) == set(first) - {changed}


def test_what_another_key_has_sealed_is_not_ours(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(row["self_reported"] for row in rows_of(results).values())
    (kept_rows.cache_dir() / "key").write_bytes(bytes(32))
    assert not any(row["self_reported"] for row in rows_of(results).values()), "this process has seen them"
    monkeypatch.setattr(kept_rows, "_kept", {})
    assert all(row["self_reported"] for row in rows_of(results).values())


def test_damaged_notes_and_a_place_that_cannot_be_written_only_cost_time(
    results: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rows_of(results)
    for file in (kept_rows.cache_dir() / "board").iterdir():
        file.write_text("{")
    monkeypatch.setattr(kept_rows, "_kept", {})
    assert rows_of(results) == first and len(checked) == 2 * len(first)
    shutil.rmtree(kept_rows.cache_dir() / "board")
    (kept_rows.cache_dir() / "board").write_text("a file in the way")
    monkeypatch.setattr(kept_rows, "_kept", {})
    assert rows_of(results) == first


def test_a_whole_row_has_what_the_board_leaves_out(results: Path, checked: list[str]) -> None:
    row = rows_of(results)["phantom-resnet-pgd-at"]
    summary = json.loads((Path(row["path"]) / "summary.json").read_text())
    read = len(checked)
    assert not set(kept_rows.OF_ONE_MODEL) & set(row)
    full = whole(row)
    assert {name: full[name] for name in summary} == summary | {"ranked": row["ranked"]}
    assert full["rank"] == row["rank"] and len(checked) == read, "it was checked a moment ago"
    file = Path(row["path"]) / "summary.json"
    file.write_text(json.dumps(summary | {"stability": {"saliency": 3}}))
    with pytest.raises(InputError, match="not a summary of fracbench"):
        whole(row)
    file.unlink()
    with pytest.raises(InputError, match="the summary is gone; reload the page"):
        whole(row)


def test_an_empty_place_is_an_empty_board(tmp_path: Path) -> None:
    assert read_board(tmp_path, None).rows == []
