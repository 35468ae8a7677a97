"""A stranger's package with one plugin of each kind: installed, listed, checked, used by a submission."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

SOURCE = Path(__file__).parent / "example_plugin"
NAMES = {
    "models": "brightness",
    "attacks": "corners",
    "explainers": "bright",
    "metrics": "contrast",
    "datasets": "squares",
}
SUBMISSION = """\
name: bright-middle
title: A threshold on brightness
authors: [Tests]
licence: Apache-2.0
benchmarks: [smoke]
model: {name: brightness, params: {threshold: 0.35}}
training: {data: none}
"""


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


def test_its_plugins_are_listed_with_their_package(stranger: Command) -> None:
    for kind, name in NAMES.items():
        lines = [line.split() for line in stranger("list", kind).stdout.splitlines()]
        assert [name, "fracbench-example"] in [line[:2] for line in lines]


@pytest.mark.parametrize("kind", NAMES)
def test_its_plugins_pass_the_conformance_kit(stranger: Command, kind: str) -> None:
    call = {
        "models": "testing.check_model(plugin, 64)",
        "attacks": "testing.check_attack(plugin)",
        "explainers": "testing.check_explainer(plugin)",
        "metrics": "testing.check_metric(plugin)",
        "datasets": "testing.check_dataset(plugin, 'test')",
    }[kind]
    code = f"from fracbench import registry, testing; plugin = registry.make('{kind}', '{NAMES[kind]}', {{}}); {call}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | stranger.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_submission_can_name_its_model(stranger: Command) -> None:
    folder = stranger.folder / "submissions" / "bright-middle"
    folder.mkdir(parents=True)
    (folder / "submission.yaml").write_text(SUBMISSION)
    assert stranger("validate", folder / "submission.yaml").returncode == 0
    done = stranger("run", "bright-middle", "--benchmark", "smoke", "--limit", "8", "--budget", "0.5")
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "results" / "smoke-custom" / "summary.json").read_text())
    # Grad-CAM has no layer to read in a threshold: the cell says so, and the row is unranked for it
    assert "gradcam is not supported" in summary["unranked_because"]
    assert summary["n"]["images"] == 8
