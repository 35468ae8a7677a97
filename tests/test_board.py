"""The board reads what strangers left in results folders: a broken one is a line, a forged one never ranks."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import STARTERS, Command
from fracbench.board import read_board
from fracbench.errors import InputError
from fracbench.printing import print_board
from fracbench.row import check_row
from fracbench.schema import SCHEMA_VERSION
from fracbench.submissions import discover
from fracbench_leaderboard.addresses import board_name, named_boards
from test_printing import board as made_board

STARTED = [entry.name for entry in discover(STARTERS, None) if "smoke" in entry.submission.benchmarks]
FORGED = {
    "nothing but a promise": {"ranked": True, "headline": {"value": 0.99, "low": 0.9, "high": 1.0}},
    "too little": None,
}


def ranks(smoke: Path) -> dict[str, int | None]:
    """Rank of each starter where nothing was forged: the control and the fake defence are not first."""
    found = {row["submission"]: row["rank"] for row in read_board(smoke / "none", smoke).rows}
    assert set(found) == set(STARTED) and found["fake-defence"] != 1 != found["always-fracture"]
    return found


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_or_broken_summary_is_never_ranked(how: str, smoke: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    target = tmp_path / "submissions" / "forged" / "results" / "smoke"
    target.mkdir(parents=True)
    real = json.loads((smoke / "phantom-resnet-pgd-at" / "smoke" / "summary.json").read_text())
    forged = {"schema_version": SCHEMA_VERSION, "spec": "smoke"} if FORGED[how] is None else real | FORGED[how]
    (target / "summary.json").write_text(json.dumps(forged))
    board = read_board(tmp_path / "submissions", tmp_path / "results")
    assert len(board.rows) + len(board.broken) == len(STARTED) + 1
    assert [row["rank"] for row in board.rows if row["submission"] == "forged"] == [None] * (FORGED[how] is not None)
    assert {row["submission"]: row["rank"] for row in board.rows if row["submission"] != "forged"} == ranks(smoke)
    done = command("summarise", "--submissions", "submissions", "--results", "results")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"threat": None},
        {"spec": ["a"]},
        {"spec": 5},
        {"split": None},
        {"headline": {"value": "high"}},
        {"headline": {"value": 2**70, "low": None, "high": None}},
        {"headline": {"value": 0.5, "low": 0.4, "high": None}},
        {"curve": [{"epsilon": "x", "balanced_accuracy": 0.5, "sensitivity": 0.5, "specificity": 0.5}]},
        {"epsilon": "x"},
        {"epsilon": "1e400/1"},
        {"epsilon": "1e-999999999/1"},
        {"epsilon": "2\n/255"},
        {"headline": {"value": 3.0, "low": 0.4, "high": 0.5}},
        {"calibrated_alignment": {"value": 1e9, "low": 0.4, "high": 0.6, "n": 8}},
        {"fingerprint": "^^5cinput{a}"},
        {"n": {}},
        {"alignment": {"saliency": {"hit": {"clean": 3}}}},
        {"alignment": {"saliency": {"hit": {"clean": {"raw": 1.0, "chance": 0.1, "ceiling": 1.0, "calibrated": 1.0}}}}},
        {"alignment_by_outcome": {"survived": {}, "flipped": {}}},
        {"calibrated_alignment": {"value": 0.5, "low": 0.4, "high": 0.6}},
        {"robust_alignment": {"attack": "explanation", "attempted": 8, "n": 8}},
        {"stability": {"saliency": {"fgsm": {"rank_correlation": {"value": "high", "n": 8}}}}},
        {"stability": {"saliency": {"fgsm": {"rank_correlation": {"value": math.nan, "n": 8}}}}},
        {"faithfulness": {"saliency": {"pixel_flipping": 0.1, "sparseness": 0.9}}},
        {"spread": {"healthy": {}}},
        {"flags": [{"name": "x"}]},
    ],
)
def test_a_summary_of_another_shape_is_left_out_with_one_line(
    change: dict[str, Any], smoke: Path, tmp_path: Path
) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    file = tmp_path / "results" / "always-fracture" / "smoke" / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    board = read_board(tmp_path, tmp_path / "results")
    assert len(board.rows) == len(STARTED) - 1 and len(board.boards()) == 1
    (line,) = board.broken
    assert line.startswith(f"{file}: not a summary of fracbench ({next(iter(change))}") and "\n" not in line


def test_a_folder_that_holds_a_link_is_no_result(smoke: Path, tmp_path: Path) -> None:
    """Else a stranger's folder could show the private pictures of whoever serves the board."""
    shutil.copytree(smoke, tmp_path / "results")
    gallery = tmp_path / "results" / "always-fracture" / "smoke" / "gallery.parquet"
    gallery.unlink()
    gallery.symlink_to(smoke / "always-fracture" / "smoke" / "gallery.parquet")
    board = read_board(tmp_path, tmp_path / "results")
    assert len(board.rows) == len(STARTED) - 1 and not board.broken


def test_a_file_that_may_not_be_read_is_a_line(smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    (tmp_path / "results" / "always-fracture" / "smoke" / "run.json").touch()  # so that it is read anew
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.name == "images.parquet" and "always-fracture" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    board = read_board(tmp_path, tmp_path / "results")
    assert len(board.rows) == len(STARTED) - 1
    (line,) = board.broken
    assert "always-fracture" in line and "Permission denied" in line


def test_who_can_keep_no_key_reads_a_board_of_others(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "file" / "cache"))
    shutil.copytree(smoke, tmp_path / "results")
    board = read_board(tmp_path, tmp_path / "results")
    assert len(board.rows) == len(STARTED) and not board.broken and all(row["self_reported"] for row in board.rows)


def test_no_board_takes_the_name_of_another() -> None:
    official, forged = (("smoke", "test", "a" * 12 + end, "b" * 64) for end in ("c" * 52, "d" * 52))
    named = named_boards([official, forged])
    assert list(named.values()) == [official, forged] and named[board_name(official)] == official


READ = ["alignment", "alignment_by_outcome", "calibrated_alignment", "robust_alignment", "stability", "faithfulness",
        "spread", "panel"]  # fmt: skip


@pytest.mark.parametrize("missing", READ)
def test_a_summary_without_what_the_alignment_page_reads_is_left_out(missing: str) -> None:
    (row, _) = made_board().rows
    check_row(row, "summary.json")
    with pytest.raises(InputError, match=rf"not a summary of fracbench \({missing}: Field required\)"):
        check_row({key: value for key, value in row.items() if key != missing}, "summary.json")


def test_a_summary_nested_without_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "results" / "a" / "smoke").mkdir(parents=True)
    (tmp_path / "results" / "a" / "smoke" / "summary.json").write_text("[" * 100_000)
    assert "cannot be read" in read_board(tmp_path, tmp_path / "results").broken[0]


def test_a_submission_has_one_row_on_a_board_and_the_results_folder_counts(smoke: Path, tmp_path: Path) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    for place in smoke.iterdir():
        shutil.copytree(place, tmp_path / "submissions" / place.name / "results")
    board = read_board(tmp_path / "submissions", tmp_path / "results")
    assert [Path(row["path"]).parts[-3] for row in board.rows] == ["results"] * len(STARTED)
    assert {row["submission"]: row["rank"] for row in board.rows} == ranks(smoke)


def test_what_a_stranger_wrote_sends_nothing_to_the_terminal(
    smoke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    file = tmp_path / "results" / "always-fracture" / "smoke" / "summary.json"
    row = json.loads(file.read_text()) | {"spec_hash": "other", "note": "[red]taken[/red]"}
    file.write_text(json.dumps(row))
    print_board(read_board(tmp_path, tmp_path / "results"), None)
    assert "[red]taken[/red]" in capsys.readouterr().out, "markup of the terminal's is text"
    file.write_text(json.dumps(row | {"threat": "linf\x1b[2J"}))
    print_board(read_board(tmp_path, tmp_path / "results"), None)
    printed = capsys.readouterr()
    assert "left out: " in printed.err and "(threat: " in printed.err
    assert "\x1b" not in printed.out + printed.err and "taken" not in printed.out


@pytest.mark.parametrize(
    "evil", ["=HYPERLINK(0)", "@SUM(A1)", "\x1b]0;taken\x07", "a\u202eb", "a\nb", " a", "a" * 2001]
)
def test_text_that_no_submission_may_have_no_result_may_have(evil: str) -> None:
    (row, *_) = made_board().rows
    check_row(row, "summary.json")
    flag = {"name": "jumps", "text": evil, "images": 1, "unranks": False, "answered": False}
    for change in ({"title": evil}, {"authors": [evil]}, {"note": evil}, {"trained_on": evil},
                   {"unranked_because": [evil]}, {"flags": [flag]}):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(change))):
            check_row(row | change, "summary.json")


def test_names_in_results_are_words_so_that_captions_hold_no_markup() -> None:
    (row, *_) = made_board().rows
    evil = "![x](http://evil.example/x.png)"
    for change in ({"panel": [evil]}, {"alignment": {evil: {}}}, {"attacks": {evil: {}}}, {"submission": evil}):
        with pytest.raises(InputError, match=next(iter(change))):
            check_row(row | change, "summary.json")
