"""``fracbench study`` and the board's page, on results of a benchmark that registers a study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fracbench import specs
from fracbench.keyed import digest
from fracbench.store import TABLES, ResultFolder
from fracbench.summary import summarise
from test_cli import call
from test_pages import own_main, page, words  # noqa: F401

PAIR = ("phantom-resnet-standard", "phantom-resnet-pgd-at")
SPEC = specs.load("phantom-v1")


@pytest.fixture
def registered(smoke: Path, tmp_path: Path) -> Path:
    """The smoke results as if they were of ``phantom-v1``, by its rules and under its plan."""
    rules = {"spec": SPEC.name, "spec_hash": digest(SPEC.decisive()), "resolved_spec": SPEC.model_dump(mode="json")}
    for name in [*PAIR, "always-fracture"]:
        old = ResultFolder(smoke / name / "smoke", name, "smoke")
        tables = {table: old.table(table) for table in TABLES}
        run = (old.run() or {}) | rules
        new = ResultFolder(tmp_path / "results" / name / SPEC.name, name, SPEC.name)
        new.path.mkdir(parents=True)
        new.write(tables, run, summarise(run, tables))
    return tmp_path / "results"


def test_the_numbers_are_those_of_the_tables(registered: Path, tmp_path: Path) -> None:
    done = call("study", "--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    assert done.exit_code == 0, done.output
    assert "Of 1 training pair, p cannot" in done.output and "wrote" in done.output
    study = json.loads((tmp_path / "study" / "study.json").read_text())
    raw = []
    for name in PAIR:
        maps = pd.read_parquet(registered / name / SPEC.name / "alignment.parquet")
        images = pd.read_parquet(registered / name / SPEC.name / "images.parquet")
        maps = maps[(maps.attack == "clean") & maps.explainer.isin(SPEC.panel)]
        maps = maps[maps.image.isin(images[images.label == 1].image)]
        raw.append(maps.groupby("image").relevance_rank_accuracy.mean())
    (pair,) = study["primary"]["each"]
    assert (pair["standard"], pair["adversarial"]) == PAIR and pair["n"] == 8
    assert pair["value"] == pytest.approx(float((raw[1] - raw[0]).mean())) == pytest.approx(study["primary"]["value"])
    assert [pair["raw"][key] for key in ("standard", "adversarial")] == pytest.approx([of.mean() for of in raw])
    assert np.isclose(study["primary"]["least_p"], 1) and study["registered_after"] == []
    (shifted,) = study["beside"]
    assert (shifted["name"], shifted["value"]) == ("always-fracture", 0), "a constant moves no attribution"
    assert shifted["twin"]["value"] == pytest.approx(pair["value"]), "twin less a model that shows alike"
    assert study["unseen"]["pairs"] == 0 and study["plan"]["seen_seeds"] == [0]
    assert len(study["entries"]) == 2
    text = (tmp_path / "study" / "study.md").read_text()
    assert "Every pair is of a seed of which pairs had been seen" in text
    assert f"{pair['value']:+.3f}" in text and all(name in text for name in PAIR)
    assert (tmp_path / "study" / "pairs.svg").read_text().startswith("<svg")


def test_what_cannot_be_studied_is_one_line_and_nothing_is_written(registered: Path, tmp_path: Path) -> None:
    places = ("--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    for benchmark, said in {
        "smoke": "smoke registers no study; these do: ", "phantom-v2": "unknown benchmark 'phantom-v2'",
        "fracatlas-v1": "there are no results of fracatlas-v1; type: fracbench run --all --benchmark fracatlas-v1",
    }.items():  # fmt: skip
        done = call("study", "--benchmark", benchmark, *places)
        assert done.exit_code == 2 and said in done.output and not (tmp_path / "study").exists()


def test_rows_of_strangers_and_trials_are_left_out_and_named(registered: Path, tmp_path: Path) -> None:
    folder = registered / PAIR[1] / SPEC.name
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"curve_area": 0.9}))
    done = call("study", "--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    assert done.exit_code == 0 and f"left out: {PAIR[1]} on test: self-reported, and not verified" in done.output
    assert "No training pair has been evaluated" in done.output


def test_trials_unfinished_runs_and_data_of_strangers_cost_no_entry(registered: Path, tmp_path: Path) -> None:
    place = registered / PAIR[0] / SPEC.name
    for number in range(4):  # self-reported, on data of their own
        summary = json.loads((place / "summary.json").read_text()) | {"fingerprint": "forged"}
        forged = registered / f"forged-{number}" / SPEC.name
        shutil.copytree(place, forged)
        (forged / "summary.json").write_text(json.dumps(summary | {"submission": forged.parent.name}))
    (registered / "begun" / SPEC.name / "cells").mkdir(parents=True)
    shutil.copytree(registered / PAIR[1] / SPEC.name, registered / "trial" / f"{SPEC.name}-custom")
    old = ResultFolder(registered / "trial" / f"{SPEC.name}-custom", "trial", f"{SPEC.name}-custom")
    tables, run = {table: old.table(table) for table in TABLES}, (old.run() or {}) | {"custom": True}
    old.write(tables, run, summarise(run, tables))
    done = call("study", "--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    assert "1 training pair" in done.output, done.output
    for line in ("left out: begun: its run of phantom-v1 is unfinished", "left out: trial on test: it was run on other "
                 "images", "left out: forged-0 on test: it was run on other data"):  # fmt: skip
        assert line in done.output, done.output


def test_a_summary_that_cannot_be_read_is_named_here_and_on_the_page(registered: Path, tmp_path: Path) -> None:
    (registered / PAIR[1] / SPEC.name / "summary.json").write_text("{")
    done = call("study", "--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    (line,) = [line for line in done.output.splitlines() if line.startswith("left out: ")]
    assert done.exit_code == 0 and PAIR[1] in line
    (line,) = [line for line in (tmp_path / "study" / "study.md").read_text().splitlines() if "Left out: " in line]
    assert PAIR[1] in line
    assert any(PAIR[1] in line for line in json.loads((tmp_path / "study" / "study.json").read_text())["left_out"])


@pytest.mark.parametrize("command", ["study", "report"])
@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_where_a_folder_is_to_be_is_one_line(
    command: str, inside: str, registered: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    places = ("--submissions", registered, "--results", registered, "--out", tmp_path / "file" / inside)
    done = call(command, *places)
    assert done.exit_code == 2 and "cannot be written to" in done.output and "name another place" in done.output
    assert (tmp_path / "file").read_text() == "mine" and len(done.output.splitlines()) == 1


def test_a_table_that_is_not_whole_costs_its_entry_alone(registered: Path, tmp_path: Path) -> None:
    folder = ResultFolder(registered / PAIR[1] / SPEC.name, PAIR[1], SPEC.name)
    tables = {name: folder.table(name) for name in TABLES}
    run, summary = folder.run(), folder.summary()
    assert run is not None and summary is not None
    folder.write(tables | {"alignment": pd.concat([tables["alignment"], tables["alignment"].head(3)])}, run, summary)
    done = call("study", "--submissions", registered, "--results", registered, "--out", tmp_path / "study")
    assert done.exit_code == 0 and "a map is there twice" in done.output
    assert "No training pair" in done.output and "1 model:" in done.output


def test_the_board_says_the_same(registered: Path) -> None:
    test = page("question", registered)
    assert not test.exception and "Of 1 training pair, p cannot" in words(test)
    assert [of.value.shape[0] > 0 for of in test.dataframe] == [True] * 4


def test_a_board_without_a_plan_says_so(smoke: Path) -> None:
    test = page("question", smoke)
    assert not test.exception and "this benchmark has registered no study" in words(test)
