"""Faults in a run: plugins that break, hang or refuse, cells that are damaged, disks that are full."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from fracbench.contracts import Unsupported
from fracbench.models import guard
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.run_record import record_of
from fracbench.runner import Outcome, evaluate_model, read_back
from fracbench.summary import summarise
from test_runner import evaluate, folder, frames_equal
from worlds import ENV, FIELDS, Bright, registered, spec

pytestmark = pytest.mark.usefixtures("blobs")


def test_a_broken_explainer_fails_its_cells_and_nothing_else() -> None:
    changed = spec(explainers=[{"name": "oracle"}, {"name": "broken"}], panel=["oracle"])
    outcome, summary = evaluate(resolve(changed))
    assert {cell["explainer"] for cell in outcome.failed} == {"broken"}
    assert "broken on purpose" in outcome.failed[0]["traceback"]
    assert not summary["ranked"] and "failed cells" in summary["unranked_because"][0]
    assert np.isfinite(summary["headline"]["value"])


def test_a_broken_attack_is_a_failed_cell_never_robustness() -> None:
    changed = spec(attacks=[{"name": "brokenattack"}])
    outcome, summary = evaluate(resolve(changed))
    assert summary["robust"]["balanced_accuracy"]["value"] == 0
    assert not summary["ranked"]
    assert {cell["status"] for cell in outcome.cells if cell["attack"] == "brokenattack"} == {"failed"}


@dataclasses.dataclass(frozen=True)
class Endless:
    """An attack that never ends, with or without asking the model."""

    asks: bool
    passes: ClassVar[tuple[int, int]] = (3, 0)

    def __call__(self, model: torch.nn.Module, images: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        while True:
            if self.asks:
                model(images)


@pytest.mark.parametrize("asks, says", [(True, "more passes through the model than"), (False, "no result after 1 s")])
def test_an_attack_that_hangs_is_a_failed_cell(asks: bool, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracbench.cells.LEAST", 1.0)
    monkeypatch.setattr("fracbench.cells.FACTOR", 0.0)
    small = {"attacks": [{"name": "endless"}], "explainers": [{"name": "oracle"}], "logical_batch": 16}
    with registered(endless=("attacks", lambda: Endless(asks))):
        outcome, summary = evaluate(resolve(spec(**small)))
    errors = {cell["error"] for cell in outcome.failed if cell["kind"] == "attack"}
    assert len(errors) == 1 and says in errors.pop()
    assert not summary["ranked"] and summary["robust"]["balanced_accuracy"]["value"] == 0


def test_an_unsupported_panel_explainer_unranks_without_failing() -> None:
    changed = spec(explainers=[{"name": "oracle"}, {"name": "deeplift", "params": {"max_delta": 0.0}}],
                   panel=["oracle", "deeplift"])  # fmt: skip
    outcome, summary = evaluate(resolve(changed))
    assert not outcome.failed
    assert summary["unranked_because"] == ["deeplift is not supported"]
    refused = [cell for cell in outcome.cells if cell["explainer"] == "deeplift"]
    assert {cell["status"] for cell in refused} == {"unsupported"} and not outcome.tables["alignment"].explainer.eq(
        "deeplift"
    ).any()
    assert len({cell["error"] for cell in refused}) == 1, "decided once, for clean and attacked images of every batch"


def test_a_damaged_cell_file_is_computed_again(tmp_path: Path) -> None:
    job = resolve(spec())
    whole, _ = evaluate(job, folder(tmp_path))
    files = sorted((tmp_path / "bright" / "blobs-v1" / "cells").glob("*.zip"))
    files[0].write_bytes(files[0].read_bytes()[:40])
    files[1].write_bytes(b"")
    again, _ = evaluate(job, folder(tmp_path))
    frames_equal(whole, again)


def test_a_full_disk_leaves_the_run_that_was_there_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = resolve(spec())
    outcome, summary = evaluate(job)
    results = folder(tmp_path)
    record = record_of(FIELDS, job, outcome, ENV, "id")
    results.write(outcome.tables, record, summary)
    before = {path.name: path.read_bytes() for path in results.path.iterdir()}
    for files in range(len(before)):
        room = iter(range(files))

        def sync(_: int, room: Any = room) -> None:
            if next(room, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(OSError, match=r"No space left on device: '/.*\.(parquet|json)'"):
            results.write(outcome.tables, record | {"title": "another"}, summary)
        assert {path.name: path.read_bytes() for path in results.path.iterdir()} == before
    assert not results.self_reported


class Refusing(Bright):
    """Cannot be asked for a gradient at all."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.requires_grad:
            raise RuntimeError("no gradients here")
        return super().forward(images)


def test_a_model_whose_every_clean_cell_fails_gives_an_unranked_row() -> None:
    job = resolve(spec())
    outcome = evaluate_model(guard(Refusing(), 32), job, "cpu")
    summary = summarise(record_of(FIELDS, job, outcome, ENV, "id"), outcome.tables)
    assert not summary["ranked"] and "failed cells" in summary["unranked_because"][0]
    assert summary["n"]["images"] == 16 and not summary["robust"]["balanced_accuracy"]["value"] > 0


def test_an_attack_that_does_not_know_the_norm_is_a_failed_cell() -> None:
    def refuses(*_: object, **__: object) -> None:
        raise Unsupported("not this norm")

    with registered(choosy=("attacks", lambda: type("Choosy", (), {"passes": (0, 0), "__call__": refuses})())):
        outcome, summary = evaluate(resolve(spec(attacks=[{"name": "fgsm"}, {"name": "choosy"}])))
    assert {cell["status"] for cell in outcome.cells if cell["attack"] == "choosy" and cell["kind"] == "attack"} == {
        "failed"
    }
    assert not summary["ranked"] and np.isnan(summary["attacks"]["choosy"]["robust_balanced_accuracy"])


def test_what_was_finished_of_a_model_that_was_given_up_is_read_back_and_never_ranked(tmp_path: Path) -> None:
    job, where = resolve(spec(adaptive={"name": "adaptive", "params": {"steps": 2}})), folder(tmp_path)
    whole, _ = evaluate(job, where)
    cells = [cell for batch in range(len(job.batches)) for cell in job.cells(batch)]
    lost = {cells[1]: "its process died of SIGKILL"}
    known = {"identity": {"model": "bright"}, "lost": lost, "reason": "not tried"}
    found = read_back(job, where, **known, answering=False)
    assert [cell["error"] for cell in found.failed] == ["not tried"], "all was finished, but it never came to an end"
    frames_equal_but_for(whole, found, cells[-1])
    summary = summarise(record_of(FIELDS, job, found, ENV, "id"), found.tables)
    assert not summary["ranked"]
    asked = read_back(job, where, **known, answering=True)
    answering = sum(len(job.answering(batch)) for batch in range(len(job.batches)))
    assert len(asked.failed) == answering and {cell["attack"] for cell in asked.failed} == {"adaptive"}
    where.cells.remove()
    nothing = read_back(job, where, **known, answering=False)
    assert len(nothing.failed) == len(cells)
    assert {cell["error"] for cell in nothing.failed} == {"not tried", "its process died of SIGKILL"}


def frames_equal_but_for(first: Outcome, second: Outcome, cell: Cell) -> None:
    rows = first.tables["alignment"]
    at = rows.image.isin([])
    if cell.kind == "explain":
        at = (rows.explainer == cell.explainer) & (rows.attack == cell.attack)
    both = rows[~at].merge(second.tables["alignment"], on=["image", "attack", "explainer"], suffixes=("", "_again"))
    assert len(both) and (both.hit.fillna(-1) == both.hit_again.fillna(-1)).all()
