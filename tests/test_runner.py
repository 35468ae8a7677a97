"""The runner on a made world: known scores, faults recorded, resume, batches, passes."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from fracbench import registry
from fracbench.bench import Bench
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.cells import compute
from fracbench.contracts import Unsupported
from fracbench.errors import InputError
from fracbench.models import guard
from fracbench.plan import Cell, Job, seed_of
from fracbench.resolving import resolve
from fracbench.runner import Outcome, evaluate_model, read_back, record_of
from fracbench.store import ResultFolder
from fracbench.summary import summarise
from worlds import ENV, FIELDS, Bright, registered, spec

pytestmark = pytest.mark.usefixtures("blobs")


def evaluate(job: Job, folder: ResultFolder | None = None) -> tuple[Outcome, dict]:  # type: ignore[type-arg]
    outcome = evaluate_model(guard(Bright(), 32), job, "cpu", folder=folder, identity={"model": "bright"})
    return outcome, summarise(record_of(FIELDS, job, outcome, ENV, "id"), outcome.tables)


def folder(tmp_path: Path) -> ResultFolder:
    return ResultFolder(tmp_path / "bright" / "blobs-v1", "bright", "blobs-v1")


def test_an_oracle_reaches_the_ceiling_and_beats_centre_and_random() -> None:
    _, summary = evaluate(resolve(spec()))
    scores = {name: of["relevance_rank_accuracy"]["clean"] for name, of in summary["alignment"].items()}
    assert scores["oracle"]["raw"] == scores["oracle"]["ceiling"] == 1
    assert scores["oracle"]["calibrated"] == pytest.approx(1)
    assert scores["centre"]["raw"] < 0.5 and scores["random"]["raw"] < 0.3
    assert scores["oracle"]["n"] == 8


def test_a_corrected_note_is_the_same_benchmark_and_another_epsilon_is_not() -> None:
    def board(of: BenchmarkSpec) -> tuple[object, object]:
        job = resolve(of)
        return job.identity(), record_of(FIELDS, job, Outcome({}, [], False, 0, {}), ENV, "id")["spec_hash"]

    told = board(spec().model_copy(update={"title": "Told better", "note": "and longer"}))
    harder = board(spec(threat={"norm": "linf", "epsilon": "9/255"}))
    same, other = zip(board(spec()), told, strict=True), zip(board(spec()), harder, strict=True)
    assert all(one == two for one, two in same) and all(one != two for one, two in other)


def test_headline_is_the_share_of_pairs_handled_right() -> None:
    outcome, summary = evaluate(resolve(spec()))
    predictions = outcome.tables["predictions"]
    at_reference = predictions[~predictions.ladder]
    right = at_reference.groupby("image").correct.all()
    fractured = right[right.index.str.startswith("f")].mean()
    normal = right[right.index.str.startswith("n")].mean()
    assert summary["headline"]["value"] == pytest.approx(fractured * normal)  # the oracle always hits
    assert summary["factors"]["robust_specificity"]["n"] == 8
    assert 0 <= summary["headline"]["low"] <= summary["headline"]["value"] <= summary["headline"]["high"] <= 1
    assert summary["ranked"] and summary["unranked_because"] == []


def test_the_curve_never_rises_and_what_is_known_is_carried() -> None:
    outcome, summary = evaluate(resolve(spec()))
    predictions = outcome.tables["predictions"]
    values = [point["balanced_accuracy"] for point in summary["curve"]]
    assert values == sorted(values, reverse=True) and values[-1] < values[0]
    rungs = predictions.query("ladder")
    carried = rungs[rungs.carried]
    assert carried[["margin", "distance", "adversarial_distance"]].isna().all(axis=None)
    assert not rungs[~rungs.carried].isna()[["margin", "distance"]].any(axis=None)
    at = {e: rungs[np.isclose(rungs.epsilon, e / 255)].set_index("image") for e in (2, 4, 30)}
    assert at[4].carried.all(), "the reference rung is what the attacks of the spec found"
    reference = predictions[~predictions.ladder].groupby("image").correct.all()
    assert (at[4].correct == reference.reindex(at[4].index)).all()
    assert at[2].carried[at[2].index[reference.reindex(at[2].index)]].all(), "survived at 4/255, so at 2/255"
    assert values[1] == summary["robust"]["balanced_accuracy"]["value"]


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


def test_what_an_explainer_noted_is_in_the_record_of_its_cell() -> None:
    few = {"attacks": [{"name": "fgsm"}], "explainers": [{"name": "oracle"}, {"name": "gradcam"}], "panel": ["oracle"]}
    outcome, _ = evaluate(resolve(spec(**few), limit=4))
    noted = {cell["explainer"]: cell["notes"] for cell in outcome.cells}
    assert noted["gradcam"] == {"layer": "features"} and noted["oracle"] == {} and noted[""] == {}


def frames_equal(first: Outcome, second: Outcome) -> None:
    for name in ("images", "predictions", "alignment", "gallery"):
        pd.testing.assert_frame_equal(first.tables[name], second.tables[name])


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = resolve(spec())
    whole, _ = evaluate(job)
    computed = []

    def until_seven(bench: Bench, cell, seconds):  # type: ignore[no-untyped-def]
        computed.append(cell)
        if len(computed) in (7, 15, 24):
            raise KeyboardInterrupt
        return compute(bench, cell, seconds)

    monkeypatch.setattr("fracbench.runner.compute", until_seven)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            evaluate(job, folder(tmp_path))
    resumed, _ = evaluate(job, folder(tmp_path))
    frames_equal(whole, resumed)
    cells = sum(len(job.cells(b)) for b in range(len(job.batches)))
    assert len(computed) == cells + 3, "each cell is computed once, plus the three that were interrupted"


def test_a_damaged_cell_file_is_computed_again(tmp_path: Path) -> None:
    job = resolve(spec())
    whole, _ = evaluate(job, folder(tmp_path))
    files = sorted((tmp_path / "bright" / "blobs-v1" / "cells").glob("*.zip"))
    files[0].write_bytes(files[0].read_bytes()[:40])
    files[1].write_bytes(b"")
    again, _ = evaluate(job, folder(tmp_path))
    frames_equal(whole, again)


def test_a_submitted_cell_never_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = resolve(spec())
    evaluate(job, folder(tmp_path))
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "another-user"))
    calls = []
    monkeypatch.setattr("fracbench.runner.compute", lambda *of: calls.append(of[1]) or compute(*of))
    evaluate(job, folder(tmp_path))
    assert len(calls) == sum(len(job.cells(b)) for b in range(len(job.batches)))


def test_results_are_sealed_and_any_change_makes_them_self_reported(tmp_path: Path) -> None:
    job = resolve(spec())
    outcome, summary = evaluate(job)
    results = folder(tmp_path)
    results.write(outcome.tables, record_of(FIELDS, job, outcome, ENV, "id"), summary)
    assert not results.self_reported
    forged = results.summary()
    assert forged is not None
    forged["headline"]["value"] = 0.123
    (results.path / "summary.json").write_text(json.dumps(forged))
    assert results.self_reported
    results.write_summary(forged)
    assert results.self_reported, "what was not ours is not sealed"


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


def test_no_cell_takes_more_passes_than_planned() -> None:
    names = [name for name in registry.names("explainers") if name != "broken"]
    job = resolve(spec(explainers=[{"name": name} for name in names]))
    outcome, _ = evaluate(job)
    cells = [cell for b in range(len(job.batches)) for cell in job.cells(b)]
    for cell, record in zip(cells, outcome.cells, strict=True):
        forward, backward = job.passes(cell)
        assert record["forward"] <= forward and record["backward"] <= backward, cell


def test_seeds_depend_on_attack_threat_and_batch_alone() -> None:
    job = resolve(spec())
    cells = [c for b in range(2) for c in job.cells(b) if c.kind in ("attack", "ladder")]
    assert len({seed_of(job, cell) for cell in cells}) == len(cells)
    assert [seed_of(job, c) for c in cells] == [seed_of(resolve(spec()), c) for c in cells]


def test_limit_and_budget_make_a_custom_unranked_run() -> None:
    job = resolve(spec(), limit=4, budget=0.5)
    assert [s.label for b in job.batches for s in b].count(1) == 2
    assert job.spec.attacks[1].params["square_queries"] == 5
    _, summary = evaluate(job)
    assert summary["custom"] and summary["unranked_because"] == ["custom run"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"split": "tset"}, "Did you mean 'test'"),
        ({"limit": 1}, "--limit 1 is too small"),
        ({"budget": 0.0}, "--budget 0.0 must lie"),
        ({"data": "/does/not/exist"}, "no such folder"),
    ],
)
def test_bad_options_are_named(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        resolve(spec(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"attacks": [{"name": "pdg"}]}, "Did you mean 'pgd'"),
        ({"attacks": [{"name": "pgd", "params": {"step": 3}}]}, "Did you mean 'steps'"),
        ({"attacks": [{"name": "pgd", "params": {"steps": 0}}]}, "at least 1"),
        ({"metrics": ["pointing"]}, "Did you mean 'pointing_game'"),
    ],
)
def test_bad_plugins_are_named_before_anything_runs(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        resolve(spec(**changes))


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
