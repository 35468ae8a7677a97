"""The tutorial, word for word: its files are saved and its commands typed into a folder with the starters alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from browser import served
from conftest import REPOSITORY, Command
from test_doc_blocks import BLOCK

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text()
INSTALLING = ("python3 -m venv", ". .venv", "pip install")  # .ci/run does it


@pytest.mark.slow
def test_the_tutorial_leads_to_a_ranked_submission(tmp_path: Path, command: Command) -> None:
    shutil.copytree(REPOSITORY / "submissions", tmp_path / "submissions", ignore=shutil.ignore_patterns("results"))
    tools = tmp_path / "tools"  # what the installed environment has on its path
    tools.mkdir()
    for name, words in {"fracbench": "-m fracbench", "python": ""}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (tools / name).chmod(0o755)
    environment = command.environment | {"PATH": f"{tools}:{os.environ['PATH']}"}
    typed = []
    for mark, language, text in BLOCK.findall(PAGE):
        if mark.startswith("<!-- file: "):
            file = tmp_path / mark.removeprefix("<!-- file: ").split()[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for line in text.splitlines() if language == "sh" else ():
            typed.append(line)
            if line.startswith(INSTALLING):
                continue
            if line == "fracbench leaderboard":
                with served(partial(command.start), "--submissions", tmp_path / "submissions"):
                    continue
            done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (
        "fracbench run my-noisy-resnet phantom-resnet-standard" in typed and typed.count("fracbench leaderboard") == 2
    )
    mine = tmp_path / "submissions" / "my-noisy-resnet" / "results" / "phantom-v1"
    summary = json.loads((mine / "summary.json").read_text())
    assert summary["ranked"] and summary["clean"]["balanced_accuracy"]["value"] > 0.7
    assert "my-noisy-resnet" in (tmp_path / "report" / "ranking.md").read_text()
