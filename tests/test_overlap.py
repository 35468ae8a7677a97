"""Declared training data against evaluated images: hashes where they are at hand, names otherwise, and the badge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from conftest import STARTERS, Command
from fracbench import evaluating, overlap, registry, tasks
from fracbench.apart import Limits, default_memory
from fracbench.board import Board, read_board
from fracbench.data import image_hash
from fracbench.overlap import compare, listed_hashes
from fracbench.plan import Job
from fracbench.printing import print_board
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.store import finite
from fracbench.submission_schema import Training
from fracbench.submissions import Entry, discover
from fracbench.summary import rank, summarise
from fracbench_leaderboard.table import badges, notes
from fracbench_plugins.datasets.phantom import Phantom
from test_cli import TINY, call, refused, submissions
from test_end_to_end import radiographs
from test_summary import run, tables
from worlds import APART, spec

HASHES = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]


def job(dataset: str = "fracatlas", split: str = "test", like: str | None = None) -> Job:
    """Four images whose hashes are ``HASHES``."""
    kind = SimpleNamespace(like=like) if like else object()
    spec = SimpleNamespace(dataset=SimpleNamespace(name=dataset))
    return cast(Job, SimpleNamespace(spec=spec, dataset=kind, split=split, image_hashes=tuple(HASHES)))


@pytest.mark.parametrize(
    "training, split, badge, such",
    [
        ({"data": "fracatlas", "splits": ["train"]}, "test", "", True),
        ({"data": "fracatlas", "splits": ["train"]}, "train", "training data overlaps", True),
        ({"data": "fracatlas", "splits": ["train", "test"]}, "test", "training data overlaps", True),
        ({"data": "fracatlas"}, "test", "training split not stated", True),
        ({"data": "ImageNet, then FracAtlas"}, "test", "training split not stated", True),
        ({"data": "imagenet"}, "test", "", False),
        ({"data": "fracatlas-2", "splits": ["test"]}, "test", "", False),
    ],
)
def test_by_name_the_split_decides(training: dict[str, Any], split: str, badge: str, such: bool) -> None:
    found = compare(Training.model_validate(training), job(split=split))
    assert found == {"such_images": such, "by": "names", "images": None, "badge": badge}


@pytest.mark.parametrize(
    "listed, training, count, badge",
    [
        (HASHES[1:3], {"data": "my hospital"}, 2, "trained on 2 of these 4 images"),
        (HASHES, {"data": "fracatlas", "splits": ["train"]}, 4, "trained on 4 of these 4 images"),
        (["a" * 64], {"data": "fracatlas"}, 0, ""),
        (["a" * 64], {"data": "fracatlas", "splits": ["test"]}, 0, "training data overlaps"),
    ],
)
def test_hashes_say_how_many_and_a_declared_overlap_stays(
    listed: list[str], training: dict[str, Any], count: int, badge: str
) -> None:
    found = compare(Training.model_validate(training), job(), frozenset(listed))
    assert (found["by"], found["images"], found["badge"]) == ("hashes", count, badge)


def test_images_like_those_trained_on_are_no_overlap() -> None:
    """The private phantom draws what the public one draws, and no image of it."""
    found = compare(Training(data="phantom", splits=("train", "test")), job("phantom-private", like="phantom"))
    assert found == {"such_images": True, "by": "names", "images": None, "badge": ""}


def entry(folder: Path, content: bytes | None, name: str = "hashes.txt") -> Entry:
    text = TINY.replace("{data: none}", f"{{data: none, hashes: '{name}'}}")
    root = submissions(folder, text)
    if content is not None:
        (root / "tiny" / "hashes.txt").write_bytes(content)
    return discover(root, None)[0]


def test_what_sha256sum_prints_is_a_list(tmp_path: Path) -> None:
    content = f"{HASHES[0]}  images/0.png\n\n{HASHES[1]}\r\n{HASHES[1]} *a b.png\n".encode()
    assert listed_hashes(entry(tmp_path, content)) == set(HASHES[:2])


def test_hashes_in_capitals_are_the_same(tmp_path: Path) -> None:
    found = listed_hashes(entry(tmp_path, HASHES[0].upper().encode()))
    assert found == {HASHES[0]} and compare(Training(data="x"), job(), found)["images"] == 1


@pytest.mark.parametrize(
    "content, name, says",
    [
        (None, "hashes.txt", "is not there, or no file; put it beside the YAML"),
        (None, "../../outside.txt", "leaves the submission's folder"),
        (b"0" * 64 + b"\n" + b"G" * 64, "hashes.txt", "line 2 of"),
        (b"\xff" * 200, "hashes.txt", "line 1 of"),
        (b"0" * 65, "hashes.txt", "does not begin with a SHA-256; write the 64 digits"),
        (b"\n" * 200, "hashes.txt", "is larger than"),
    ],
)
def test_a_list_that_will_not_do_is_one_line_before_torch_is_there(
    content: bytes | None, name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if says == "is larger than":
        monkeypatch.setattr(overlap, "MAX_BYTES", 100)
    (tmp_path / "outside.txt").write_text(HASHES[0])
    file = entry(tmp_path, content, name).folder / "submission.yaml"
    result = call("validate", file)
    refused(result, f"error: {file}:11: hashes: ", says)
    assert len(result.output.splitlines()) == 1


def test_splits_are_names(tmp_path: Path) -> None:
    text = TINY.replace("{data: none}", "{data: none, splits: ['../x']}")
    refused(call("validate", submissions(tmp_path, text) / "tiny"), "write the name of a split, such as train")
    with pytest.raises(ValueError, match="at least 1 item"):
        Training.model_validate({"data": "none", "splits": []})


def test_the_phantoms_images_are_known_by_their_8_bit_pixels() -> None:
    dataset = Phantom(test=32)
    sample = dataset.samples("test")[1]
    pixels = dataset._picture(sample).pixels
    assert pixels.dtype == np.uint8
    assert image_hash(dataset, sample) == hashlib.sha256(b"(256, 256) " + pixels.tobytes()).hexdigest()


def test_the_command_lists_hashes_of_files(tmp_path: Path, command: Command) -> None:
    data = radiographs(tmp_path / "data")
    made = command("data", "folder", "--data", "data", "--split", "test", "--hashes", "all.txt")
    assert made.returncode == 0 and made.stdout == "wrote all.txt\n", made.stderr
    files = {hashlib.sha256(path.read_bytes()).hexdigest() for path in data.glob("image*.png")}
    assert (tmp_path / "all.txt").read_text().splitlines() == sorted(files) and len(files) == 4
    for options, says in ((("all.md",), "--hashes all.md: name a .txt file"), (("a.txt", "--out", "a.png"), "one of")):
        refused(call("data", "folder", "--data", data, "--hashes", *options), says)


@pytest.mark.usefixtures("blobs")
def test_a_run_finds_the_images_that_the_submission_lists(tmp_path: Path) -> None:
    made = spec(attacks=[{"name": "fgsm"}], explainers=[{"name": "oracle"}], adaptive=None)
    blobs = resolve(made)
    seen = [image_hash(blobs.dataset, batch[0]) for batch in blobs.batches]
    submission = entry(tmp_path, "\n".join([*seen, *HASHES]).encode())
    (task,) = tasks.bind([submission], blobs, "cpu")
    assert not evaluating.run_submission(task, Limits(default_memory()), Silent()).failed and task.finished
    wanted = {"such_images": False, "by": "hashes", "images": 2, "badge": "trained on 2 of these 16 images"}
    for content in (task.folder.run(), task.folder.summary()):
        assert content is not None and content["overlap"] == wanted
    (row,) = read_board(tmp_path / "submissions", None).rows
    assert row["overlap"] == wanted

    (submission.folder / "hashes.txt").write_text(seen[0])
    (other,) = tasks.bind([submission], blobs, "cpu")
    assert other.overlap["images"] == 1 and not other.finished, "another list is another run"


def test_a_badge_is_printed_and_noted_and_unranks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    badge = "training split not stated"
    marked = run(submission="marked", overlap={**APART, "such_images": True, "badge": badge})
    apart = run(submission="apart", overlap=APART, training={"data": "mura"})
    rows = rank([finite(summarise(of, tables())) for of in (marked, apart)])
    assert [row["rank"] for row in rows] == [1, 1]
    print_board(Board(rows), None)
    printed = capsys.readouterr().out
    assert f"marked: {badge}" in printed and printed.count(badge) == 1
    said = {row["submission"]: (badges(row), notes(row)) for row in rows}
    assert said == {"marked": ([badge], ""), "apart": (["not trained on such images"], "trained on mura")}


@pytest.mark.parametrize("found", discover(STARTERS, None), ids=lambda found: found.name)
def test_starters_state_what_they_were_trained_on(found: Entry) -> None:
    training = found.submission.training
    assert training.splits == ("train",) and training.data in registry.names("datasets")
    record = json.loads((found.folder / "training.json").read_text())
    assert record["recipe"]["dataset"]["name"] == training.data
    stated = [compare(training, job(training.data, split))["badge"] for split in ("test", "train")]
    assert stated == ["", "training data overlaps"]
