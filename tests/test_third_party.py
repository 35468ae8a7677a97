"""Adversarial images from outside: what is refused, what lowers a row, and what a new run makes of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STARTERS
from fracbench import specs
from fracbench import verify as verifying
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.data import load
from fracbench.models import guard
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.store import TABLES, ResultFolder
from fracbench.submissions import discover, load_model
from fracbench.summary import summarise
from fracbench.tasks import bind
from fracbench.third_party import Sent, verified
from test_cli import call

NAME, SPEC, EPSILON = "phantom-resnet-standard", "smoke", 0.5 / 255


@pytest.fixture
def results(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results of a run whose only attack is one weak step, so that there is something to lower."""
    real = specs.load(SPEC)
    weak = {
        "attacks": [{"name": "pgd", "params": {"steps": 1}}],
        "explainers": [{"name": "saliency"}],
        "panel": ["saliency"],
    }
    made = BenchmarkSpec.model_validate(real.model_dump() | weak)
    monkeypatch.setattr(specs, "load", lambda name: made)
    kept = tmp_path_factory.getbasetemp() / "weak-run"
    if not kept.exists():
        done = call("run", NAME, "--benchmark", SPEC, "--submissions", STARTERS, "--results", kept)
        assert done.exit_code == 0, done.output
    shutil.copytree(kept, tmp_path / "results")
    return tmp_path / "results"


def folder(results: Path) -> ResultFolder:
    return ResultFolder(results / NAME / SPEC, NAME, SPEC)


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, np.ndarray]:
    """What an outside attacker is given."""
    file = tmp_path / "clean.npz"
    done = call("attack", "images", file, "--benchmark", SPEC)
    assert done.exit_code == 0 and "next: fracbench attack submit" in done.output
    return dict(np.load(file))


def submit(results: Path, file: Path, by: str = "red-team") -> Any:
    options = ("--submission", NAME, "--by", by, "--benchmark", SPEC, "--submissions", STARTERS, "--results", results)
    return call("attack", "submit", file, *options)


def stronger(clean: dict[str, np.ndarray]) -> np.ndarray:
    """Fifty steps of PGD, by other code than fracbench's."""
    (entry,) = discover(STARTERS, None, [NAME])
    model = load_model(entry, 128, "cpu", 64)
    x, y = torch.from_numpy(clean["images"])[:, None], torch.from_numpy(clean["labels"])
    current = x.clone()
    for _ in range(50):
        current.requires_grad_()
        loss = torch.nn.functional.cross_entropy(model(current), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, current)
        current = (current.detach() + EPSILON / 10 * gradient.sign()).clamp(x - EPSILON, x + EPSILON).clamp(0, 1)
    return current[:, 0].numpy()


def test_the_images_are_those_of_the_benchmark(clean: dict[str, np.ndarray]) -> None:
    assert clean["images"].shape == (16, 128, 128) and clean["images"].dtype == np.float32
    assert sorted(clean["labels"]) == [0] * 8 + [1] * 8 and len(set(clean["ids"])) == 16


def test_a_stronger_attack_lowers_the_row_in_the_name_of_its_sender(
    results: Path, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    before = folder(results).summary()
    assert before is not None and before["third_party"] == []
    assert before["worst_case"]["balanced_accuracy"] == before["robust"]["balanced_accuracy"]
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=stronger(clean)[:, None])
    done = submit(results, tmp_path / "sent.npz")
    assert done.exit_code == 0, done.output
    after = folder(results).summary()
    assert after is not None and not folder(results).self_reported
    (mine,) = after["third_party"]
    assert mine["by"] == "red-team" and mine["images"] == 16
    lowered = before["worst_case"]["balanced_accuracy"]["value"] - after["worst_case"]["balanced_accuracy"]["value"]
    assert lowered == pytest.approx(mine["lowered"] / 16) and mine["lowered"] > 0
    assert f"verified: {mine['lowered']} more images broken that every attack had spared; of red-team" in done.output
    assert after["headline"]["value"] <= before["headline"]["value"]
    assert after["robust"] == before["robust"], "the attacks of the spec are what they were"
    again = submit(results, tmp_path / "sent.npz")
    assert again.exit_code == 0 and folder(results).summary() == after, "the same file counts once"
    assert "verified: 0 more images broken" in again.output
    recomputed = call("summarise", NAME, "--submissions", STARTERS, "--results", results)
    assert recomputed.exit_code == 0 and folder(results).summary() == after


@pytest.mark.slow
def test_answers_to_what_was_sent_are_verified(
    results: Path, clean: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=stronger(clean)[:, None])
    assert submit(results, tmp_path / "sent.npz").exit_code == 0
    ladder = Cell("ladder", 0, "apgd-margin")
    monkeypatch.setattr(verifying, "_chosen", lambda *_: [ladder])
    (task,) = bind(discover(STARTERS, results, [NAME]), resolve(specs.load(SPEC)), "cpu")
    run = folder(results).run()
    assert run is not None and not verifying.verify(task, run, 1, 0, lambda *_: None).wrong
    tables = {name: folder(results).table(name) for name in TABLES}
    rows = tables["predictions"]
    sent = rows.attack == "third-party/red-team"
    forged = rows.assign(correct=rows.correct | sent, margin=rows.margin.abs().where(sent, rows.margin))
    tables["predictions"] = forged
    folder(results).write(tables, run, summarise(run, tables))
    told = verifying.verify(task, run, 1, 0, lambda *_: None).wrong
    assert told == ["the answers to the images of 'third-party/red-team'"]
    tables["predictions"] = rows.assign(epsilon=rows.epsilon.where(~sent, 0.9))
    folder(results).write(tables, run, summarise(run, tables))
    told = verifying.verify(task, run, 1, 0, lambda *_: None).wrong
    assert "the rows of third parties are not those of the files kept" in told


def test_clean_images_lower_nothing(results: Path, clean: dict[str, np.ndarray], tmp_path: Path) -> None:
    before = folder(results).summary()
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=clean["images"])
    assert submit(results, tmp_path / "sent.npz").exit_code == 0
    after = folder(results).summary()
    assert before is not None and after is not None
    assert after["headline"] == before["headline"] and after["third_party"][0]["lowered"] == 0


def changed(clean: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    ids, images = clean["ids"], clean["images"].copy()
    if how == "outside":
        images[5, 40, 40] += 0.7 / 255 * (1 if images[5, 40, 40] < 0.5 else -1)
        images[7, 40, 40] += 0.9 / 255 * (1 if images[7, 40, 40] < 0.5 else -1)
    if how == "range":
        images[3] += 1
    if how == "nan":
        images[3, 0, 0] = np.nan
    if how == "small":
        images = images[:, ::2, ::2]
    if how == "integers":
        images = (images * 255).astype(np.uint8)
    if how == "ids":
        ids = np.char.add(ids, "x")
    if how == "some ids":
        ids = np.array([ids[0] + "x", *ids[1:]])
    if how == "twice":
        ids = np.repeat(ids[:1], len(ids))
    if how == "fewer":
        ids = ids[:3]
    if how == "objects":
        ids = np.array([{"a": 1}] * len(ids), dtype=object)
    return {"images": images} if how == "no ids" else {"ids": ids, "images": images}


@pytest.mark.parametrize(
    "how, says",
    [
        ("outside", r"2 of 16 images leave the linf ball of 0.5/255; the furthest, '.*', is 0.9000/255 away"),
        ("range", "they must lie in"),
        ("nan", "not finite"),
        ("small", "images are 64 x 64 pixels; smoke has 128 x 128"),
        ("integers", "images are uint8"),
        ("ids", r"none of the 16 ids, such as '.*x', is an image of smoke, test split; say which"),
        ("some ids", "1 of 16 ids are not among the images evaluated, such as '.*'. Did you mean"),
        ("twice", "an id is given twice"),
        ("fewer", "give one text for each"),
        ("objects", "ids are object"),
        ("no ids", "no array ids"),
    ],
)
def test_what_is_not_in_the_ball_or_not_of_the_benchmark_is_refused_and_nothing_is_written(
    how: str, says: str, results: Path, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "sent.npz", **changed(clean, how))  # type: ignore[arg-type]
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    done = submit(results, tmp_path / "sent.npz")
    assert done.exit_code == 2 and re.search(says, done.output), done.output
    assert len(done.output.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_a_submission_that_was_not_run_is_refused_with_what_to_type(
    clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=clean["images"])
    done = submit(tmp_path / "nothing", tmp_path / "sent.npz")
    assert done.exit_code == 2 and f"fracbench run {NAME} --benchmark {SPEC}" in done.output
    asked = (
        "--submission",
        "phantom-resnet-trades",
        "--by",
        "red-team",
        "--benchmark",
        SPEC,
        "--submissions",
        STARTERS,
    )
    other = call("attack", "submit", tmp_path / "sent.npz", *asked)
    assert other.exit_code == 2 and "does not enter smoke; pass --benchmark with one of phantom-full-v1" in other.output


@pytest.mark.parametrize("by", ["Red Team", "../x", "", "x" * 65])
def test_a_sender_needs_a_name_that_can_stand_on_the_board(
    by: str, results: Path, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=clean["images"])
    done = submit(results, tmp_path / "sent.npz", by)
    assert done.exit_code == 2 and f"'{by}' cannot name who sent it" in done.output


@pytest.mark.slow
def test_who_came_first_keeps_the_credit_and_a_new_run_counts_all_again(
    results: Path, clean: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=stronger(clean))
    np.savez(tmp_path / "half.npz", ids=clean["ids"][:5], images=clean["images"][:5])
    for file, by in (("sent.npz", "zoe"), ("sent.npz", "mallory"), ("half.npz", "zoe"), ("half.npz", "anna")):
        assert submit(results, tmp_path / file, by).exit_code == 0
    lowered = folder(results).summary()
    assert lowered is not None
    zoe, mallory, anna = lowered["third_party"]
    assert (zoe["by"], zoe["images"]) == ("zoe", 16) and zoe["lowered"] > 0
    assert (mallory["by"], mallory["lowered"]) == ("mallory", 0) and (anna["images"], anna["lowered"]) == (5, 0)

    (folder(results).path / "third-party" / "0009-eve-0123456789ab.npz").write_bytes(b"junk")
    (folder(results).path / "run.json").unlink()
    again = call("run", NAME, "--benchmark", SPEC, "--submissions", STARTERS, "--results", results)
    assert again.exit_code == 0 and "not counted: " in again.output and "0009-eve" in again.output
    new = folder(results).summary()
    assert new is not None and new["third_party"] == lowered["third_party"] and new["headline"] == lowered["headline"]


def test_results_of_other_weights_or_rules_are_not_lowered(
    results: Path, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "sent.npz", ids=clean["ids"], images=clean["images"])
    run = folder(results).run()
    assert run is not None
    for name in ("weights_sha256", "spec_hash", "fingerprint"):
        tables = {table: folder(results).table(table) for table in TABLES}
        summary = folder(results).summary()
        assert summary is not None
        folder(results).write(tables, run | {name: "other"}, summary)
        done = submit(results, tmp_path / "sent.npz")
        assert done.exit_code == 2 and f"another {name}; first fracbench run {NAME}" in done.output, done.output
    file = folder(results).path / "summary.json"
    file.write_text(file.read_text().replace("smoke", "smoke "))
    done = submit(results, tmp_path / "sent.npz")
    assert done.exit_code == 2 and "these results were not made here" in done.output


class Mute(torch.nn.Module):
    """Answers NaN wherever a pixel was changed, and so cannot be told wrong by a comparison."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fracture = images.mean((1, 2, 3)) * torch.where(images[:, 0, 0, 0] == 0.123, torch.nan, 1.0)
        return torch.stack([-fracture, fracture], 1)


def test_an_answer_that_is_no_number_is_a_wrong_one() -> None:
    job = resolve(specs.load(SPEC))
    ids = [sample.id for sample in job.batches[0]]
    images = load(job.dataset, job.batches[0], 128).images[:, 0].numpy()
    images[:2, 0, 0] = 0.123
    rows = verified(Sent("x", "0" * 64, tuple(ids), images), job, guard(Mute(), 128), "cpu", False)
    fractured = [sample.label == 1 for sample in job.batches[0]]
    assert rows.correct.tolist() == [bool(i > 1 and label) for i, label in enumerate(fractured)]
    assert rows.margin.isna().tolist() == [True] * 2 + [False] * (len(ids) - 2)
