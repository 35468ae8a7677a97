"""Submissions with one fault each, beside good ones: each is named with its line, and the good ones are ranked."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import STARTERS, Command
from fracbench.submissions import faults_of
from safetensors.torch import load_file, save_file
from test_submission_weights import Evil

BAD = sorted((Path(__file__).parent / "bad_submissions").glob("*.yaml"))
GOOD = ("always-fracture", "phantom-resnet-standard")
HOSTILE = Path(__file__).parent / "hostile_plugin"
OTHER_BENCHMARK = "unknown-benchmark"  # told by validate; what also enters a benchmark of another version runs on this
CELL_SECONDS, MEMORY = 5, 2.5


def told(file: Path, key: str) -> str:
    """What the head of a bad submission says of it."""
    found = re.search(rf"^# {key}: (.*)$", file.read_text(), re.MULTILINE)
    return found[1] if found else ""


def state() -> dict[str, torch.Tensor]:
    """Weights that fit the network of the bad submissions."""
    import timm

    network = timm.create_model("resnet18", num_classes=2, in_chans=1, channels=(8, 8, 8, 8), layers=(1, 1, 1, 1))
    return {f"network.{name}": value for name, value in network.state_dict().items()}


def saved(content: object, **how: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PyTorch file of some kilobytes that unpacks to a gigabyte."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(4)}))) as whole, zipfile.ZipFile(made, "w") as packed:
        for name in whole.namelist():
            content = bytes(2**30) if name.endswith("data/0") else whole.read(name)
            packed.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)
    return made.getvalue()


def write_weights(kind: str, folder: Path) -> None:
    good, safe = state(), folder / "w.safetensors"
    pickled: dict[str, Callable[[], bytes]] = {
        "evil": lambda: saved({"network.fc.weight": Evil()}),
        "bomb": bomb,
        "old": lambda: saved(good, _use_new_zipfile_serialization=False),
        "nested": lambda: saved({"epoch": 3, "state_dict": good}),
    }
    if kind in pickled:
        (folder / "w.pt").write_bytes(pickled[kind]())
        return
    if kind == "link":
        save_file(good, folder.parent / "outside.safetensors")
        safe.symlink_to(folder.parent / "outside.safetensors")
        return
    changes: dict[str, dict[str, torch.Tensor]] = {
        "misfit": load_file(STARTERS / "phantom-resnet-standard" / "weights.safetensors"),
        "shape": good | {"network.fc.bias": torch.zeros(3)},
        "nan": good | {"network.fc.bias": torch.full((2,), torch.nan)},
        "oversized": good | {"network.fc.weight": torch.zeros(2, 4_000_000)},
    }
    save_file(changes.get(kind, good), safe)
    contents: dict[str, Callable[[], bytes]] = {
        "truncated": lambda: safe.read_bytes()[:-100],
        "empty": lambda: b"",
        "html": lambda: b"<!doctype html><title>404</title>",
        "mislabelled": lambda: saved(good),
    }
    if kind in contents:
        safe.write_bytes(contents[kind]())


def place(file: Path, root: Path) -> Path:
    """A bad submission in a folder of its name."""
    folder = root / file.stem
    folder.mkdir(parents=True)
    text = file.read_text()
    (folder / "submission.yaml").write_text(text + "#" * int(told(file, "pad") or 0))
    if kind := told(file, "weights"):
        write_weights(kind, folder)
    return folder / "submission.yaml"


def test_there_are_many_and_each_says_what_is_wrong_with_it() -> None:
    assert len(BAD) >= 60
    assert all(told(file, "says") for file in BAD)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, make_command: Callable[[Path], Command]) -> Command:
    """The command line with the hostile package installed beside it."""
    site, work = tmp_path_factory.mktemp("hostile-site"), tmp_path_factory.mktemp("hostile")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site]
    done = subprocess.run([*map(str, pip), str(HOSTILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Command(work, make_command(work).environment | {"PYTHONPATH": str(site)})


@pytest.mark.slow
def test_bad_submissions_are_told_apart_and_the_good_ones_beside_them_are_ranked(hostile: Command) -> None:
    root = hostile.folder / "submissions"
    for file in BAD:
        place(file, root)
    for name in GOOD:
        shutil.copytree(STARTERS / name, root / name, ignore=shutil.ignore_patterns("results"))
    before = {path for path in hostile.folder.rglob("*") if "cache" not in path.parts}
    done = hostile("run", "--all", "--benchmark", "smoke", "--results", "out", "--memory", MEMORY,
                   "--cell-timeout", CELL_SECONDS)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    for file in BAD:
        says, name = told(file, "says"), file.stem
        if name == OTHER_BENCHMARK:
            continue
        at = [line for line in lines if re.search(rf"\b{name}\b", line) and says in line]
        if name == "draws-at-random":
            flags = json.loads((hostile.folder / "out" / name / "smoke" / "summary.json").read_text())["flags"]
            assert says in {flag["name"] for flag in flags}, "it runs, and its row is flagged"
        else:
            assert at, f"{name}: no line says {says!r}: {[line for line in lines if name in line][:5]}"
            assert len([line for line in lines if line.startswith(f"left out: {root.name}/{name}/")]) <= 2
    for name in GOOD:
        summary = json.loads((hostile.folder / "out" / name / "smoke" / "summary.json").read_text())
        assert summary["ranked"], f"{name}: {summary['unranked_because']}"
    new = {path for path in hostile.folder.rglob("*") if "cache" not in path.parts} - before
    assert {path.relative_to(hostile.folder).parts[0] for path in new} == {"out"}, "only results are written"
    ran = {path.name for path in (hostile.folder / "out").iterdir()}
    assert ran == {*GOOD, *(file.stem for file in BAD if file.stem.startswith(("later-", "draws-", OTHER_BENCHMARK)))}
    for name in ran - {*GOOD, "draws-at-random", OTHER_BENCHMARK}:
        summary = json.loads((hostile.folder / "out" / name / "smoke" / "summary.json").read_text())
        assert not summary["ranked"] and "failed" in " ".join(summary["unranked_because"])


WITHOUT_TORCH = [
    file
    for file in BAD
    if not told(file, "weights")
    and not re.search(r"name: (hostile|broken-import|ends-when-imported)}?", file.read_text())
]


@pytest.mark.parametrize("file", WITHOUT_TORCH, ids=lambda file: file.stem)
def test_each_fault_of_form_has_file_line_and_what_to_write(file: Path, tmp_path: Path) -> None:
    """``validate`` says of it what ``run`` does, or, where only the built model shows it, nothing."""
    yaml = place(file, tmp_path)
    faults = faults_of(yaml)
    assert all(re.match(rf"{re.escape(str(yaml))}(:\d+)?: ", fault) for fault in faults), faults
    assert not faults or any(told(file, "says") in fault for fault in faults), faults
    only_built = {"unknown-option", "pretrained-path", "wrong-type", "wrong-value", "huge-side"}
    assert bool(faults) == (file.stem not in only_built)
