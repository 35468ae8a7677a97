"""Stored scores computed again: what agrees, what was changed, and what Quantus says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import STARTERS
from fracbench import specs
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.store import TABLES, ResultFolder
from fracbench.submissions import discover, load_model
from fracbench_plugins.metrics import _quantus
from test_cli import call

NAME, OPTIONS = "phantom-resnet-standard", ("--benchmark", "smoke", "--submissions", STARTERS)


@pytest.fixture
def results(smoke: Path, tmp_path: Path) -> Path:
    shutil.copytree(smoke / NAME, tmp_path / "results" / NAME)
    return tmp_path / "results"


def test_a_run_of_this_machine_agrees_with_itself_and_with_quantus(results: Path) -> None:
    done = call("verify", NAME, *OPTIONS, "--results", results, "--cells", 3, "--seed", 1)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines() if line.strip().startswith(("auc", "relevance_rank"))]
    assert len(lines) == 2 and all(int(line[1]) > 0 for line in lines)
    assert all(float(line[2]) == 0 for line in lines), "stored scores come out again"
    assert all(float(line[3]) < 1e-5 for line in lines), "and Quantus says the same"


def test_a_changed_score_is_told(results: Path) -> None:
    folder = ResultFolder(results / NAME / "smoke", NAME, "smoke")
    tables = {name: folder.table(name) for name in TABLES}
    forged = tables | {"alignment": tables["alignment"].assign(auc=0.99)}
    run, summary = folder.run(), folder.summary()
    assert run is not None and summary is not None
    folder.write(forged, run, summary)
    done = call("verify", NAME, *OPTIONS, "--results", results, "--cells", 1)
    assert done.exit_code == 1 and "differs in auc" in done.output, done.output


def test_metrics_that_are_not_quantus_are_told(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quantus, "scores", lambda metric, maps, masks, **_: torch.full((len(maps),), 0.123))
    done = call("verify", NAME, *OPTIONS, "--results", results, "--cells", 1)
    assert done.exit_code == 1 and "differs in pointing_game, relevance_mass_accuracy" in done.output, done.output


def test_without_a_run_it_says_what_to_type(tmp_path: Path) -> None:
    done = call("verify", NAME, *OPTIONS, "--results", tmp_path)
    assert done.exit_code == 2 and f"first fracbench run {NAME} --benchmark smoke" in done.output


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
