"""Stored scores computed again: what agrees, what was changed, and what Quantus says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import STARTERS
from forging import NAME, PGD, again, folder_of, forge, run_of, verify
from fracbench import comparing, specs
from fracbench import verify as verifying
from fracbench.board import read_board
from fracbench.cell_store import CellResult
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.store import TABLES
from fracbench.submissions import discover, load_model
from fracbench_leaderboard.table import badges
from fracbench_plugins.metrics import _quantus
from test_printing import board
from worlds import Broken


def test_a_run_of_this_machine_agrees_with_itself_and_with_quantus(results: Path) -> None:
    assert folder_of(results).verified is None
    done = verify(results, "--cells", 6, "--seed", 1)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines() if line.strip().startswith(("auc", "relevance_rank"))]
    assert len(lines) == 2 and all(int(line[1]) > 0 for line in lines)
    assert all(float(line[2]) == 0 for line in lines), "stored scores come out again"
    assert all(float(line[3]) < 1e-5 for line in lines), "and Quantus says the same"
    assert re.search(r"^ hit +\d+ +0\.0e\+00 +- +-", done.output, re.MULTILINE), "scores that Quantus has not, too"
    assert "answers, now and stored" in done.output and "verified: phantom-resnet-standard, 6 cells" in done.output
    stamp = folder_of(results).verified
    assert stamp is not None and len(stamp["cells"]) == 6 and stamp["seed"] == 1


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"alignment": lambda rows: rows.assign(auc=0.99)}, "auc"),
        ({"alignment": lambda rows: rows.assign(hit=1.0)}, "hit"),
        (
            {"predictions": lambda rows: rows.assign(correct=True, margin=rows.margin.abs())},
            "the answers of 'pgd 0.5/255'",
        ),
        ({"predictions": lambda rows: rows[rows.correct]}, "'pgd' does not have one row for each image"),
        ({"alignment": lambda rows: rows[rows.hit != 0]}, "'saliency' on clean does not have one row for each image"),
        ({"images": lambda rows: rows.assign(group="one")}, "the group of an image is not the benchmark's"),
        ({"images": lambda rows: rows[rows.label == 1]}, "the images are not those of the benchmark"),
        ({"summarised": False}, "the summary does not follow from the tables"),
    ],
)
def test_what_was_changed_is_told(
    results: Path, changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(results, **changes)
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [PGD, Cell("explain", 1, "clean", "", "saliency")])
    assert says in again(results, 2).wrong


def test_cells_are_drawn_from_the_benchmark_not_from_what_the_run_lists(results: Path) -> None:
    forge(results, said={"cells": [of for of in run_of(results)["cells"] if of["kind"] == "clean"]})
    found = again(results, 4)
    assert len(found.cells) == 4 and len(found.answers) >= 2 and found.scores


def test_a_run_that_is_none_is_one_line(results: Path) -> None:
    run = run_of(results)
    del run["environment"]
    folder_of(results).write({name: folder_of(results).table(name) for name in TABLES}, run,
                             folder_of(results).summary() or {})  # fmt: skip
    done = verify(results)
    assert (
        done.exit_code == 2 and "run.json: is not what `fracbench run` writes (KeyError: 'environment')" in done.output
    )


def broken_at(places: range) -> pd.DataFrame:
    names = [f"i{k}" for k in range(16)]
    correct = [k not in places for k in range(16)]
    margin = [1.0 if of else -1.0 for of in correct]
    at = {"threat": "linf", "epsilon": 0.1, "attack": "pgd", "part": "", "ladder": False}
    return pd.DataFrame({"image": names, **at, "margin": margin, "correct": correct})


@pytest.mark.parametrize("stored, agrees", [(range(8), False), (range(8, 16), True), (range(9, 16), True)])
def test_the_same_accuracy_on_other_images_is_told(stored: range, agrees: bool) -> None:
    images = pd.DataFrame({"image": [f"i{k}" for k in range(16)], "label": [k % 2 for k in range(16)]})
    now = CellResult({"status": "done"}, {"predictions": broken_at(range(8, 16))})
    cell = Cell("attack", 0, "pgd", "0.1")
    assert comparing.answers(cell, now.tables["predictions"], broken_at(stored), images).agrees == agrees


def test_the_same_mean_on_other_maps_is_told() -> None:
    rows = pd.DataFrame({"ours": [1.0] * 8 + [0.0] * 8, "stored": [0.0] * 8 + [1.0] * 8})
    found = comparing.difference("hit", rows.assign(untied=np.nan, as_is=np.nan), same_machine=False)
    assert not found.agrees and found.mean == 0 and found.far == 16


def test_what_differs_is_told_and_not_stamped(results: Path) -> None:
    forge(results, alignment=lambda rows: rows.assign(auc=0.99))
    done = verify(results, "--cells", 4)
    assert done.exit_code == 1 and f"{NAME} differs: auc" in done.output, done.output
    assert folder_of(results).verified is None and "next:" not in done.output


def test_results_that_came_with_a_submission_rank_once_they_are_verified(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "another-user"))
    (row,) = read_board(tmp_path, results).rows
    assert not row["ranked"] and row["unranked_because"] == ["self-reported, and not verified"]
    folder_of(results).stamp({"date": "2026", "cells": []})
    (row,) = read_board(tmp_path, results).rows
    assert row["ranked"] and row["verified"] == "2026"
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "a-third-user"))
    assert folder_of(results).verified is None, "what another has verified is not verified here"
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "another-user"))
    summary = folder_of(results).summary()
    assert summary is not None
    folder_of(results).write_summary(summary | {"curve_area": 0.9})
    (row,) = read_board(tmp_path, results).rows
    assert not row["ranked"] and row["verified"] is None, "what is changed afterwards is not verified"


def test_a_cell_that_can_no_longer_be_computed_is_told(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [PGD])
    found = again(results, 1)
    assert [of.cell for of in found.answers] == ["pgd 0.5/255"] and not found.wrong
    monkeypatch.setattr("fracbench_plugins.attacks.pgd.PGD.__call__", Broken.__call__)
    (fault,) = again(results, 1).wrong
    assert fault.startswith("'pgd 0.5/255' of batch 0 cannot be computed now: RuntimeError: this plugin is broken")


def test_metrics_that_are_not_quantus_are_told(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quantus, "scores", lambda metric, maps, masks, **_: torch.full((len(maps),), 0.123))
    assert again(results, 2).wrong[:2] == ["pointing_game", "relevance_mass_accuracy"]


def test_without_a_run_it_says_what_to_type(tmp_path: Path, results: Path) -> None:
    done = verify(tmp_path)
    assert done.exit_code == 2
    assert f"first fracbench run {NAME} --benchmark smoke --submissions {STARTERS} --results {tmp_path}" in done.output
    (results / NAME / "smoke").rename(results / NAME / "smoke-custom")
    assert "smoke-custom is a trial run" in verify(results).output


def test_quantus_itself_can_score_a_run_which_is_then_no_longer_the_benchmark(results: Path) -> None:
    job = resolve(specs.load("smoke"), limit=2, metrics_backend="quantus")
    (entry,) = discover(STARTERS, None, [NAME])
    outcome = evaluate_model(load_model(entry, 128, "cpu", 64), job, "cpu")
    assert job.custom and not outcome.failed
    key = ["image", "attack", "explainer"]
    ours = pd.read_parquet(results / NAME / "smoke" / "alignment.parquet").set_index(key)
    theirs = outcome.tables["alignment"].set_index(key)
    theirs = theirs[theirs.auc.notna() & (theirs.index.get_level_values("attack") == "clean")]
    assert len(theirs) > 5
    for metric in ("relevance_mass_accuracy", "auc"):
        np.testing.assert_allclose(ours[metric].reindex(theirs.index), theirs[metric], atol=1e-4)


def test_the_board_says_when_a_row_was_verified() -> None:
    (row,) = board().of(board().boards()[0])[:1]
    assert "verified" not in " ".join(badges(row))
    assert badges(row | {"verified": "2026-11-26T10:00:00+00:00"})[0] == "verified on 2026-11-26"
    assert "self-reported" in badges(row | {"self_reported": True, "verified": None})
