"""What a run stores against what comes out again: columns, ladders, symptoms, distances, pictures."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forging import NAME, PGD, again, folder_of, forge, run_of, task_of
from fracbench import claims, specs
from fracbench import verify as verifying
from fracbench.claims import cell_of
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.store import TABLES
from fracbench.summary import summarise
from PIL import Image

LADDER, AIMED = Cell("ladder", 0, "apgd-margin"), Cell("explanation", 0, "explanation", "0.5/255")
OF_AIMED = Cell("explain", 0, "explanation", "0.5/255", "saliency")
EVERY_KIND = [Cell("clean", 0), PGD, LADDER, AIMED, OF_AIMED, Cell("explain", 0, "pgd", "0.5/255", "gradcam")]


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [])


@pytest.mark.usefixtures("nothing_chosen")
def test_a_run_of_which_nothing_is_computed_is_not_verified(results: Path) -> None:
    assert again(results, 0).wrong == ["no cell was computed again"]


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
