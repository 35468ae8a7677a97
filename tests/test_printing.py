"""What is printed fits a terminal, names every number, and says why a row is not ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fracbench.board import Board, drops
from fracbench.inside import Estimate
from fracbench.printing import WIDTH, print_board, print_plan
from fracbench.row import check_row
from fracbench.store import finite
from fracbench.summary import rank, summarise
from fracbench_leaderboard.table import ranking_frame
from test_summary import run, tables


def board(**changes: Any) -> Board:
    """One ranked row, and one trial on two fractures, too few for an interval of the alignment."""
    few = tables(2)
    rows = [summarise(run(submission="a-name-of-thirty-characters-xx"), tables()),
            summarise(run(submission="trial", custom=True, fingerprint="g"), few)]  # fmt: skip
    return Board(rank([finite(row) for row in rows]))


def test_the_table_fits_and_names_what_is_not_ranked(capsys: pytest.CaptureFixture[str]) -> None:
    print_board(board(), None)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= WIDTH
    assert "a-name-of-thirty-charact" in out and "ers-xx" in out, "long names are folded, never cut"
    assert "trial is not ranked: custom run" in out and "20 + 20" in out and "2 + 2" in out
    assert "[-, -]" in out, "an interval nobody can compute is not printed as if it had no width"


def test_a_run_that_quantus_scored_is_told_from_others(capsys: pytest.CaptureFixture[str]) -> None:
    row = finite(summarise(run(custom=True, metrics_backend="quantus"), tables()))
    assert row["metrics_backend"] == "quantus"
    check_row(row, "here")
    print_board(Board(rank([row])), None)
    assert "a is not ranked: custom run; scored by Quantus" in capsys.readouterr().out
    (line,) = ranking_frame(rank([row])).to_dict("records")
    assert line["Unranked because"] == "custom run; scored by Quantus"


def test_only_the_asked_benchmark_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_board(board(), "other")
    assert capsys.readouterr().out == ""


def test_the_drop_from_the_own_split_is_shown_for_rows_of_the_same_rules(capsys: pytest.CaptureFixture[str]) -> None:
    own, shifted, other = (run(), run(split="test-shift-site"), run(split="test-shift-site", spec_hash="another"))
    weaker = {**tables(), "predictions": tables()["predictions"].assign(correct=False)}
    rows = [finite(summarise(of, made)) for of, made in ((own, tables()), (shifted, weaker), (other, weaker))]
    (drop,) = drops(rank(rows))
    assert drop["split"] == "test-shift-site" and drop["clean"] == (rows[0]["clean"]["balanced_accuracy"]["value"], 0)
    assert drop["headline"] == (rows[0]["headline"]["value"], 0) and drop["headline"][0] > 0
    print_board(Board(rank(rows)), None)
    out = capsys.readouterr().out
    assert "distribution shift" in out and f"{drop['clean'][0]:.3f} -> 0.000" in out
    assert max(map(len, out.splitlines())) <= WIDTH
    print_board(Board(rank(rows[:1])), None)
    assert "distribution shift" not in capsys.readouterr().out


def test_the_plan_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan([("a", Estimate(3, 100, 50, 1.5)), ("b", Estimate(4, 10, 5, 0.5))])
    header, a, _, total, *_ = capsys.readouterr().out.splitlines()
    assert total.split() == ["total", "7", "110", "55", "2.0"]
    assert len(header) == len(a) == len(total)


def test_the_made_alignment_is_undefined_only_where_groups_are_few() -> None:
    rows = {row["submission"]: row["calibrated_alignment"] for row in board().rows}
    assert rows["trial"]["low"] is None and np.isfinite(rows["trial"]["value"])
