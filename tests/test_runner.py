"""The runner on a made world: known scores, faults recorded, resume, batches, passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fracbench import registry
from fracbench.bench import Bench
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.cells import compute
from fracbench.errors import InputError
from fracbench.models import guard
from fracbench.plan import Job, seed_of
from fracbench.resolving import resolve
from fracbench.run_record import record_of
from fracbench.runner import Outcome, evaluate_model
from fracbench.store import ResultFolder
from fracbench.summary import summarise
from worlds import ENV, FIELDS, Bright, spec

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
