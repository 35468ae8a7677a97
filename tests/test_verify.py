"""Stored scores computed again: what agrees, what was changed, and what Quantus says."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result
from conftest import STARTERS
from fracbench import claims, comparing, specs
from fracbench import verify as verifying
from fracbench.board import read_board
from fracbench.claims import cell_of
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.store import TABLES, CellResult, ResultFolder
from fracbench.submissions import discover, load_model
from fracbench.summary import summarise
from fracbench.tasks import Task, bind
from fracbench_leaderboard.table import badges
from fracbench_plugins.metrics import _quantus
from PIL import Image
from test_cli import call
from test_printing import board
from worlds import Broken

PGD = Cell("attack", 0, "pgd", "0.5/255")
NAME, OPTIONS = "phantom-resnet-standard", ("--benchmark", "smoke", "--submissions", STARTERS)


@pytest.fixture
def results(smoke: Path, tmp_path: Path) -> Path:
    shutil.copytree(smoke / NAME, tmp_path / "results" / NAME)
    return tmp_path / "results"


def folder_of(results: Path) -> ResultFolder:
    return ResultFolder(results / NAME / "smoke", NAME, "smoke")


def forge(results: Path, summarised: bool = True, said: dict[str, Any] | None = None, **changes: Any) -> None:
    """Replace tables by what ``changes`` make of them, seal, and sum up again as somebody would who forges well.

    ``said`` replaces fields of ``run.json``.
    """
    folder = folder_of(results)
    tables = {name: folder.table(name) for name in TABLES}
    tables |= {name: change(tables[name]) for name, change in changes.items()}
    run, summary = folder.run(), folder.summary()
    assert run is not None and summary is not None
    run |= said or {}
    folder.write(tables, run, summarise(run, tables) if summarised else summary | {"curve_area": 0.9})


def verify(results: Path, *more: object) -> Result:
    return call("verify", NAME, *OPTIONS, "--results", results, *map(str, more))


def task_of(results: Path) -> Task:
    (entry,) = discover(STARTERS, None, [NAME])
    (task,) = bind([entry], resolve(specs.load("smoke")), "cpu")
    return replace(task, folder=folder_of(results))


def again(results: Path, n: int) -> verifying.Verdict:
    """The same in this process."""
    return verifying.verify(task_of(results), run_of(results), n, 0, lambda *_: None)


def faults_of(results: Path, said: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """What cannot be, of these results with changes as ``forge`` makes them; nothing is written."""
    task, run = task_of(results), run_of(results) | (said or {})
    tables = {name: task.folder.table(name) for name in TABLES}
    tables |= {name: change(tables[name]) for name, change in changes.items()}
    return list(claims.false_claims(task, run, tables, claims.planned_cells(task, run)))


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


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [])


def run_of(results: Path) -> dict[str, Any]:
    run = folder_of(results).run()
    assert run is not None
    return run


@pytest.mark.usefixtures("nothing_chosen")
def test_a_run_of_which_nothing_is_computed_is_not_verified(results: Path) -> None:
    assert again(results, 0).wrong == ["no cell was computed again"]


@pytest.mark.parametrize(
    "said, of",
    [
        ({"epsilon": "0.01/255"}, "benchmark"),
        ({"panel": ["random"]}, "benchmark"),
        ({"ladder": []}, "benchmark"),
        ({"black_box": []}, "benchmark"),
        ({"attacks": ["fgsm", "pgd"]}, "benchmark"),
        ({"title": "Verified champion"}, "submission"),
        ({"control": True}, "submission"),
        ({"overlap": {"such_images": False, "by": "hashes", "images": 0, "badge": ""}}, "submission"),
    ],
)
def test_what_run_json_says_is_what_benchmark_and_submission_say(results: Path, said: dict[str, Any], of: str) -> None:
    (name,) = said
    assert f"{name} of run.json is not this {of}'s" in faults_of(results, said)


def test_each_cell_of_the_benchmark_has_one_record_and_is_done(results: Path) -> None:
    records = run_of(results)["cells"]
    pgd, clean = (next(of for of in records if of["attack"] == name) for name in ("pgd", "clean"))
    strange, failed = dict(pgd, attack="harmless"), dict(clean, status="unsupported")
    others = [of for of in records if of not in (pgd, clean)]
    wrong = faults_of(results, {"cells": [strange, failed, *others]})
    assert "'pgd 0.5/255' of batch 0 has 0 records, not one" in wrong
    assert "'harmless 0.5/255' of batch 0 is no cell of this benchmark" in wrong
    assert "'clean' of batch 0 is unsupported" in wrong


def test_cells_are_drawn_from_the_benchmark_not_from_what_the_run_lists(results: Path) -> None:
    forge(results, said={"cells": [of for of in run_of(results)["cells"] if of["kind"] == "clean"]})
    found = again(results, 4)
    assert len(found.cells) == 4 and len(found.answers) >= 2 and found.scores


@pytest.mark.usefixtures("nothing_chosen")
def test_a_model_that_does_not_waver_is_not_random(results: Path) -> None:
    forge(results, said={"random": True})
    assert "random of run.json is True, and asked again the model says False" in again(results, 0).wrong


def test_an_explainer_that_does_support_the_model_is_not_unsupported(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = run_of(results)["cells"]
    cell = Cell("explain", 1, "clean", "", "saliency")
    forge(results, said={"cells": [of | {"status": "unsupported"} if cell_of(of) == cell else of
                                   for of in records]})  # fmt: skip
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [cell])
    assert "'saliency on clean' of batch 1 is unsupported in run.json, and can be computed" in again(results, 1).wrong


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda rows: rows[~(rows.ladder & (rows.epsilon > 0.003))],
         "the ladder of 'apgd-margin' does not have one row for each image and rung"),
        (lambda rows: rows.assign(correct=rows.correct.where(~rows.ladder, rows.epsilon > 0.003)),
         "an image that breaks on the ladder of 'apgd-margin' is whole on a higher rung"),
        (lambda rows: pd.concat([rows, rows[rows.attack == "pgd"].assign(attack="third-party/zoe")]),
         "the rows of third parties are not those of the files kept"),
        (lambda rows: rows.assign(distance=rows.distance * 3), "a distance is outside its ball"),
        (lambda rows: rows.assign(correct=True), "an answer does not follow from its margin"),
    ],
)  # fmt: skip
def test_ladders_and_rows_of_others_are_looked_at_whole(results: Path, change: Any, says: str) -> None:
    assert says in faults_of(results, predictions=change)


@pytest.mark.parametrize("column, value", [("zero_gradient", True), ("fracture_margin", 1.0)])
def test_columns_of_clean_images_are_compared(
    results: Path, column: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(results, predictions=lambda rows: rows.assign(**{column: rows[column].where(rows.attack != "clean", value)}))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [Cell("clean", 0)])
    assert any(column in fault for fault in again(results, 1).wrong)


def test_what_scores_are_read_against_is_compared(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(results, images=lambda rows: rows.assign(chance_hit=0.0))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [Cell("clean", 0)])
    assert "chance_hit of the images of batch 0 is not the benchmark's" in again(results, 1).wrong


def test_symptoms_and_scores_that_few_maps_have_are_compared(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [of | {"symptoms": of["symptoms"] | {"probabilities": True}} if "symptoms" in of else of
            for of in run_of(results)["cells"]]  # fmt: skip
    forge(results, said={"cells": told}, alignment=lambda rows: rows.assign(blank=True, top_overlap=1.0))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [Cell("explain", 0, "pgd", "0.5/255", "saliency")])
    wrong = again(results, 1).wrong
    assert "the symptoms of batch 0: probabilities" in wrong and {"blank", "top_overlap"} <= set(wrong)


LADDER, AIMED = Cell("ladder", 0, "apgd-margin"), Cell("explanation", 0, "explanation", "0.5/255")
OF_AIMED = Cell("explain", 0, "explanation", "0.5/255", "saliency")
EVERY_KIND = [Cell("clean", 0), PGD, LADDER, AIMED, OF_AIMED, Cell("explain", 0, "pgd", "0.5/255", "gradcam")]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_kind_of_cell_comes_out_again(results: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_chosen", lambda *_: EVERY_KIND)
    if elsewhere:
        forge(results, said={"environment": run_of(results)["environment"] | {"torch": "1.0"}})
    found = again(results, 6)
    assert not found.wrong
    assert [of.cell for of in found.answers] == ["clean", PGD.label, LADDER.label, AIMED.label], "each once"
    ladder = next(of for of in found.answers if of.cell == LADDER.label)
    assert ladder.rows == 3 * 8 and ladder.differ == 0
    assert {of.same_machine for of in found.scores} == {not elsewhere}


def test_a_ladder_is_attacked_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(results, predictions=lambda rows: rows.assign(correct=rows.correct | rows.ladder))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [LADDER])
    assert "the answers of 'apgd-margin ladder'" in again(results, 1).wrong


def test_maps_under_an_attack_on_the_explanation_are_made_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(results, alignment=lambda rows: rows.assign(auc=rows.auc.where(rows.attack != "explanation", 0.99)))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [OF_AIMED])
    assert "auc" in again(results, 1).wrong


@pytest.mark.parametrize("name, elsewhere", [("distance", False), ("adversarial_distance", True)])
def test_distances_are_compared(results: Path, name: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"environment": run_of(results)["environment"] | {"torch": "1.0"}} if elsewhere else {}
    forge(results, said=said, predictions=lambda rows: rows.assign(
        **{name: (rows[name] / 2).where(rows.attack == "pgd", rows[name])}))  # fmt: skip
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [PGD])
    assert f"the {name} of 'pgd 0.5/255', batch 0" in again(results, 1).wrong


def test_what_outlives_an_attack_is_counted_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [of | {"symptoms": of["symptoms"] | {"survivors": ["p0"]}} if "symptoms" in of else of
            for of in run_of(results)["cells"]]  # fmt: skip
    forge(results, said={"cells": told})
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [Cell("clean", 0)])
    assert "the symptoms of batch 0: survivors" in again(results, 1).wrong


def black(png: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", Image.open(io.BytesIO(png)).size).save(buffer, "PNG")
    return buffer.getvalue()


def repaint(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    return rows.assign(png=[black(png) if of == kind else png for of, png in zip(rows.kind, rows.png, strict=True)])


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda rows: repaint(rows, "radiograph"), r"the radiograph of \S+ in the gallery is not the benchmark's"),
        (lambda rows: rows.assign(png=b"GIF89a"), r"the mask of \S+ in the gallery is not the benchmark's"),
        (lambda rows: rows.assign(png="text"), r"the mask of \S+ in the gallery is not the benchmark's"),
        (lambda rows: rows.assign(kind=rows.kind.replace("mask", "advert")), "has a kind of picture that no run makes"),
        (lambda rows: rows.iloc[1:], "the (radiograph|mask) of"),
        (lambda rows: rows.iloc[:0], "the gallery does not have the benchmark's images"),
        (lambda rows: pd.concat([rows, rows]), "the gallery does not have the benchmark's images, each picture once"),
        (lambda rows: rows.drop(columns="png"), "the gallery lacks a column"),
    ],
)
def test_pictures_are_of_the_benchmarks_images(smoke: Path, change: Any, says: str) -> None:
    gallery = pd.read_parquet(smoke / NAME / "smoke" / "gallery.parquet")
    job = resolve(specs.load("smoke"))
    planned = [cell for batch in range(len(job.batches)) for cell in job.cells(batch)]
    assert not list(claims._of_gallery(job, planned, gallery))
    assert any(re.search(says, fault) for fault in claims._of_gallery(job, planned, change(gallery)))


@pytest.mark.parametrize(
    "kind, chosen, says",
    [
        ("attributions", [Cell("explain", 0, "clean", "", "gradcam")], "the pictures of 'gradcam on clean', batch 0"),
        ("perturbation", [replace(PGD, attack=name) for name in ("fgsm", "pgd", "autoattack")],
         "the pictures of '(pgd|fgsm|autoattack) 0.5/255', batch 0"),
    ],
)  # fmt: skip
def test_pictures_are_those_of_the_run(
    results: Path, kind: str, chosen: list[Cell], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(results, gallery=lambda rows: repaint(rows, kind))
    monkeypatch.setattr(verifying, "_chosen", lambda *_: chosen)
    assert any(re.match(says, fault) for fault in again(results, len(chosen)).wrong)


def also(rows: pd.DataFrame, **other: Any) -> pd.DataFrame:
    return pd.concat([rows, rows[rows.attack == "pgd"].assign(**other)], ignore_index=True)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"predictions": lambda rows: also(rows, attack="made-up")},
         "there are rows of 'made-up', which no cell of this benchmark makes"),
        ({"predictions": lambda rows: also(rows, part="my-own")}, "'pgd' does not have one row for each image"),
        ({"predictions": lambda rows: also(rows)}, "'pgd' does not have one row for each image"),
        ({"predictions": lambda rows: also(rows, epsilon=0.9)}, "'pgd' does not have one row for each image"),
        ({"alignment": lambda rows: also(rows, attack="square")}, "'saliency' on square does not have"),
        ({"alignment": lambda rows: also(rows)}, "'saliency' on pgd does not have one row for each image"),
        ({"alignment": lambda rows: rows.assign(hit=rows.hit + 0.0195)}, "hit of a map is no share of 1"),
        ({"alignment": lambda rows: rows.assign(auc=-1.0)}, "auc of a map is no share of 1"),
        ({"alignment": lambda rows: rows.assign(sparseness=0.5)}, "sparseness stands where it is not measured"),
        ({"alignment": lambda rows: rows.assign(top_overlap=0.5)}, "top_overlap stands where it is not measured"),
        ({"images": lambda rows: rows.assign(ceiling_relevance_rank_accuracy=0.3)},
         "the column 'ceiling_relevance_rank_accuracy' of images is not one that a run writes"),
        ({"images": lambda rows: rows.assign(chance_hit_8x8=0.3)}, "the column 'chance_hit_8x8' of images is not one"),
        ({"images": lambda rows: rows.assign(advert="buy")}, "images have a column 'advert' that no run writes"),
        ({"said": {"champion": True}}, "run.json has a field 'champion' that no run writes"),
        ({"gallery": lambda rows: rows.assign(label=1 - rows.label)}, "the gallery does not have the benchmark's"),
        ({"gallery": lambda rows: pd.concat([rows.assign(attack="a"), rows])}, "each picture once"),
    ],
)  # fmt: skip
def test_what_is_of_nothing_in_the_benchmark_is_told(results: Path, changes: dict[str, Any], says: str) -> None:
    assert any(says in fault for fault in faults_of(results, **changes))


@pytest.mark.parametrize(
    "change, says",
    [
        (
            {"symptoms": {"images": 10**6, "crossed": 10**9, "jumps": 0, "probabilities": False}},
            "the fields that a run",
        ),
        ({"forward": 10**6}, "the images or passes of 'clean' of batch 0 are not those"),
        ({"images": 5}, "the images or passes of 'clean' of batch 0 are not those"),
        ({"attack": "x\r verified: all\n"}, "' verified: all"),
        ({"attack": ["list"]}, "is not one that `fracbench run` writes (TypeError"),
    ],
)
def test_records_say_what_a_run_writes(results: Path, change: dict[str, Any], says: str) -> None:
    first, *others = run_of(results)["cells"]
    found = faults_of(results, {"cells": [first | change, *others]})
    assert any(says.strip("' ") in fault for fault in found) and not any("\r" in fault for fault in found)


def test_only_the_cells_that_look_for_symptoms_tell_of_them(results: Path) -> None:
    folder, run = folder_of(results), run_of(results)
    tables = {name: folder.table(name) for name in TABLES}
    symptomatic = [of | {"symptoms": of["symptoms"] | {"probabilities": True}} if "symptoms" in of else of
                   for of in run["cells"]]  # fmt: skip
    flags = [flag["name"] for flag in summarise(run | {"cells": symptomatic}, tables)["flags"]]
    clean = symptomatic[0] | {"symptoms": {"images": 10**9, "crossed": 10**9, "jumps": 0, "probabilities": False,
                                           "batch": None, "precision": None}}  # fmt: skip
    again = summarise(run | {"cells": [clean, *symptomatic[1:]]}, tables)["flags"]
    assert "probabilities" in flags and [flag["name"] for flag in again] == flags


@pytest.mark.parametrize("name, value", [("grid", "4x4"), ("outside_anatomy", 0.0)])
def test_grids_and_scores_of_normal_images_are_compared(
    results: Path, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal = {sample.id for batch in task_of(results).job.batches for sample in batch if sample.label == 0}
    forge(results, alignment=lambda rows: rows.assign(**{name: rows[name].where(~rows.image.isin(normal), value)}))
    cell = Cell("explain", 0, "clean", "", "saliency")
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [cell])
    assert ("the grid of 'saliency on clean', batch 0" if name == "grid" else name) in again(results, 1).wrong


@pytest.mark.parametrize("elsewhere", [False, True])
def test_margins_under_attack_are_compared(results: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"environment": run_of(results)["environment"] | {"torch": "1.0"}} if elsewhere else {}
    forge(results, said=said, predictions=lambda rows: rows.assign(
        margin=rows.margin + np.where(rows.attack == "pgd", np.sign(rows.margin), 0)))  # fmt: skip
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [PGD])
    assert "the margins of 'pgd 0.5/255', batch 0" in again(results, 1).wrong


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
