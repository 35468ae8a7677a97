"""A stranger's package with one plugin of each kind: installed, listed, checked, used by a submission."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import cells, opened, require_chromium, served, settle
from conftest import Command
from fracbench.board import read_board
from fracbench.store import ResultFolder

SOURCE = Path(__file__).parent / "example_plugin"
NAMES = {
    "models": "spotnet",
    "attacks": "corners",
    "explainers": "bright",
    "metrics": "contrast",
    "datasets": "squares",
}
SUBMISSION = "spot-finder"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, make_command: Callable[[Path], Command]) -> Command:
    """The command line with the example package installed beside it."""
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("stranger")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    done = subprocess.run([*pip, str(SOURCE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = make_command(work)
    return Command(work, command.environment | {"PYTHONPATH": str(site)})


def python(stranger: Command, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | stranger.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(stranger: Command) -> Path:
    """The folder of submissions, with the weights that the package's own training writes."""
    folder = stranger.folder / "submissions"
    shutil.copytree(SOURCE / "submissions", folder)
    weights = folder / SUBMISSION / "weights.safetensors"
    python(stranger, f"from fracbench_example import train; train.main({str(weights)!r})")
    return folder


@pytest.fixture(scope="module")
def ranked(stranger: Command, trained: Path) -> str:
    """What ``fracbench run`` printed for the submission."""
    done = stranger("run", SUBMISSION, "--benchmark", "smoke")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_list_says_which_package_each_plugin_came_from(stranger: Command) -> None:
    everything = stranger("list").stdout
    for kind, name in NAMES.items():
        shown = stranger("list", kind).stdout
        assert shown in everything
        packages = dict(line.split()[:2] for line in shown.splitlines()[1:])
        assert packages.pop(name) == "fracbench-example" and set(packages.values()) == {"fracbench"}


def test_its_plugins_pass_the_conformance_kit(stranger: Command) -> None:
    """As docs/write-a-plugin.md has it."""
    more = {"models": ", 64", "datasets": ", 'test'"}
    checks = [
        f"testing.check_{kind[:-1]}(registry.make('{kind}', '{name}', {{}}){more.get(kind, '')})"
        for kind, name in NAMES.items()
    ]
    python(stranger, "; ".join(["from fracbench import registry, testing", *checks]))


@pytest.mark.slow
def test_its_submission_is_valid_before_and_after_training(stranger: Command, trained: Path) -> None:
    assert stranger("validate", trained / SUBMISSION).returncode == 0
    lacking = stranger("validate", SOURCE / "submissions" / SUBMISSION)
    assert lacking.returncode == 2 and "weights.safetensors is not there" in lacking.stderr


@pytest.mark.slow
def test_its_model_has_learnt_its_dataset(stranger: Command, trained: Path) -> None:
    told = python(
        stranger,
        f"""
from pathlib import Path
from fracbench import registry, submissions
from fracbench.data import load
(entry,) = submissions.discover(Path({str(trained)!r}), None)
dataset = registry.make("datasets", "squares", {{}})
batch = load(dataset, dataset.samples("test"), 64)
logits = submissions.load_model(entry, 64, "cpu", 64)(batch.images)
print(float((logits.argmax(1) == batch.labels).float().mean()))
""",
    )
    assert float(told) > 0.95


@pytest.mark.slow
def test_its_submission_is_ranked(ranked: str, trained: Path) -> None:
    (line,) = [line.split() for line in ranked.splitlines() if SUBMISSION in line and "flagged" not in line]
    assert line[:3] == ["1", "1", SUBMISSION]
    board = read_board(trained, None)
    (row,) = board.rows
    assert not board.broken and row["ranked"] and row["rank"] == 1 and row["unranked_because"] == []
    assert (row["submission"], row["spec"], row["trained_on"]) == (SUBMISSION, "smoke", "squares")
    assert row["n"]["images"] == 16
    alignment = ResultFolder(trained / SUBMISSION / "results" / "smoke", SUBMISSION, "smoke").table("alignment")
    assert {"gradcam", "deeplift", "occlusion"} <= set(alignment[~alignment.blank].explainer), "its layers are read"


@pytest.mark.slow
@pytest.mark.browser
def test_its_row_is_on_the_page(ranked: str, stranger: Command) -> None:
    require_chromium()
    with served(stranger.start) as address, opened(address) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        assert any(f"model={SUBMISSION}" in cell for cell in cells(page, 1))


@pytest.mark.slow
def test_its_attack_and_explainer_measure_a_model(stranger: Command, trained: Path) -> None:
    told = python(
        stranger,
        f"""
from pathlib import Path
import fracbench
from fracbench import submissions
(entry,) = submissions.discover(Path({str(trained)!r}), None)
model = submissions.load_model(entry, 128, "cpu", 64).network
result = fracbench.evaluate(model, "smoke", attacks=["corners"], explainers=["saliency", "bright"], limit=4)
print(sorted(set(result.predictions.attack)), sorted(set(result.alignment.explainer)))
""",
    )
    attacks, explainers = told.strip().splitlines()[-1].split("] [")
    assert "'corners'" in attacks and "'bright'" in explainers
