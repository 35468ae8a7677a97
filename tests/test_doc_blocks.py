"""What the documentation shows in Python runs as it stands; each command it shows is run here or by a named test."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from conftest import REPOSITORY, Command
from fracbench import registry
from fracbench.cli import main
from fracbench.contracts import MarginModel
from fracbench.testing import TinyNet
from test_docs import PAGES

BLOCK = re.compile(r"(<!-- .*? -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
SHORTER = {'"phantom-v1"': '"smoke"', '{"train": 320}': '{"train": 40}'}  # the same on fewer images
NOT_HERE = {  # Python blocks by what they hold: why
    "zoo_weights": "needs the hosts of RobustBench's zoo; test_robustbench_model loads files made like theirs",
    "testing.check_model": "needs the example plugin installed; test_example_plugin runs it",
}
RUN_HERE = (  # commands, as regular expressions
    r"fracbench init my-model --from timm:\S+",
    r"fracbench list \w+",
    r"fracbench data check my-radiographs",
    r"fracbench data folder --data my-radiographs --split test",
    r"fracbench report( --benchmark smoke)?( --results results)?",
    r"fracbench attack images clean.npz",
    r"fracbench train standard .* --out submissions/phantom-again",
    r"fracbench run my-model --benchmark folder-v1 --data my-radiographs --limit 12",
    r"fracbench run phantom-resnet-pgd-at",
)
GENERATED = ("cli.md", "python.md", "plugins.md")
DRY = ("fracbench run", "fracbench train")  # of these the words are read, and what they would do is not done
ELSEWHERE = {  # commands, as regular expressions: where they run, or why nowhere
    r"pip install .*|python3 -m venv .venv|\. \.venv/bin/activate|pytest": ".ci/run",
    r"make \w+": ".ci/run, and test_project_files",
    r"fracbench leaderboard.*": "test_browser",
    r"mkdir -p .*|python train.py|fracbench (validate|doctor|run) my-noisy-resnet.*": "test_tutorial",
    r"fracbench (validate|doctor|run) (submissions/)?my-model.*": "test_tutorial, with another name",
    r"fracbench run --all( --benchmark (smoke|phantom-study-v1))?( --results results)?( --split \S+)?": "conftest",
    r"fracbench run --all( --workers 2| --ray \w+)": "test_spreading",
    r"fracbench verify my-model": "test_verify",
    r"fracbench attack submit mine.npz .*": "test_third_party",
    r"fracbench data fracatlas.*|sha256sum .*": "test_download, test_overlap: the archive is 338 MB",
    r"fracbench (data|run|train) .*FracAtlas.*": "test_end_to_end and test_fracatlas, on a part",
    r"fracbench study .*": "test_study_command",
    r"\(umask 077.*|export FRACBENCH_PRIVATE.*|fracbench run --all --benchmark phantom-private-v1 .*": "test_private",
    r"cp -r tests/example_plugin.*|python -m fracbench_example.*|fracbench \w+ spot-finder.*": "test_example_plugin",
    r"python tests/perf.*": "measures for half an hour and more",
    r"#!/bin/bash|#SBATCH.*|\. /shared.*|cd /shared.*|export OMP.*|head=.*|srun ray .*": "a job of Slurm",
}  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    """Those of a language, without listings of files and files to be saved, which other tests import and run."""
    return [text for mark, of, text in BLOCK.findall(page.read_text()) if of == language and not mark]


def lines(page: Path) -> Iterator[str]:
    for block in blocks(page, "sh"):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            for part in re.sub(r"(^|\s)# .*", "", line).split(" && "):
                if part.strip():
                    yield part.strip()


def stage(page: str, folder: Path, smoke: Path) -> dict[str, Any]:
    """What a page takes for granted: names, and files in ``folder``."""
    starters = folder / "submissions"
    shutil.copytree(REPOSITORY / "submissions" / "phantom-resnet-pgd-at", starters / "phantom-resnet-pgd-at",
                    ignore=shutil.ignore_patterns("results"))  # fmt: skip
    if page == "results.md":
        of = smoke / "phantom-resnet-standard" / "smoke"
        shutil.copytree(of, starters / "my-model" / "results" / "phantom-v1")
    if page == "host-the-board.md":
        shutil.copytree(smoke, folder / "results")
    if page == "write-a-plugin.md":
        images = torch.rand(2, 1, 32, 32)
        return {"torch": torch, "images": images, "margin_model": MarginModel(TinyNet())}
    return {"model": TinyNet()}


@pytest.mark.parametrize(
    "page", [of for of in PAGES if of.name not in GENERATED and blocks(of, "python")], ids=lambda page: page.name
)
def test_python_in_the_text_runs(
    page: Path, tmp_path: Path, smoke: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = stage(page.name, tmp_path, smoke)
    if page.name == "scoring.md":
        assert command("attack", "images", "clean.npz").returncode == 0
    for text in blocks(page, "python"):
        if any(word in text for word in NOT_HERE):
            continue
        for long, short in SHORTER.items():
            text = text.replace(long, short)
        before = set(registry.registered())
        exec(compile(text, page.name, "exec"), known)
        for kind, name in set(registry.registered()) - before:
            registry.unregister(kind, name)


@pytest.mark.parametrize("page", [of for of in PAGES if blocks(of, "sh")], ids=lambda page: page.name)
def test_commands_in_the_text_run(page: Path, tmp_path: Path, smoke: Path, command: Command) -> None:
    stage(page.name, tmp_path, smoke)
    for text in blocks(page, "python") if page.name == "own-radiographs.md" else ():
        exec(compile(text.replace('"my-radiographs"', f'"{tmp_path}/my-radiographs"'), page.name, "exec"), {})
    for line in lines(page):
        if any(re.fullmatch(known, line) for known in RUN_HERE):
            words = shlex.split(line)[1:]
            words += ["--results", str(smoke)] if words == ["report"] else []
            done = command(*words, *(["--help"] if line.startswith(DRY) else []))
            assert done.returncode == 0, f"{line}: {done.stderr}"
            continue
        assert any(re.fullmatch(known, line) for known in ELSEWHERE), f"{page.name}: no test runs `{line}`"
        if line.startswith("fracbench"):  # its words and options are those of the command, wherever it runs
            refused = CliRunner().invoke(main, [*shlex.split(line)[1:], "--help"])
            assert refused.exit_code == 0, f"{page.name}: {line}: {refused.output}"


def test_every_pattern_is_of_some_command() -> None:
    known = [line for page in PAGES for line in lines(page)]
    for pattern in (*RUN_HERE, *ELSEWHERE):
        for part in pattern.split("|") if pattern in ELSEWHERE and "(" not in pattern else [pattern]:
            assert any(re.fullmatch(part, line) for line in known), part


def test_tests_that_are_said_to_run_commands_exist() -> None:
    for where in (*ELSEWHERE.values(), *NOT_HERE.values()):
        for name in re.findall(r"test_\w+", where):
            assert (REPOSITORY / "tests" / f"{name}.py").is_file(), name
