"""The page of the question, from the ``study.json`` that ``fracbench study`` wrote for each benchmark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fracbench import specs
from fracbench.study.page import FIGURES, body, made_by
from fracbench.study.words import sentences

WORDS = ("recipe", "threat", "seed", "twin")  # of these null is null; of all else, a number that is not there
TITLES = {"phantom-study-v1": "On the phantom", "fracatlas-lite-v1": "On FracAtlas"}
OPTIONS = {"fracatlas": " --data FracAtlas"}  # what a run of a dataset needs beside


def page_of_all(folder: Path) -> str:
    """The answers first, then each study whole; ``folder`` holds one folder a benchmark."""
    studies = {name: _restored(json.loads((folder / name / "study.json").read_text())) for name in TITLES}
    parts = [
        "# Do robust models look at the fracture more? The answer so far",
        "Made by `python docs/generate.py` from the numbers in `docs/study`; how they are found, and what was "
        "registered before, is in [the question](question.md). Each sentence follows from a number.",
    ]
    for name, study in studies.items():
        parts.append(f"**{TITLES[name]}** (`{name}`)")
        parts.append("\n".join(f"- {sentence}" for sentence in sentences(study)))
    for name, study in studies.items():
        figures = {kind: f"study/{name}/{kind}.svg" for kind in FIGURES if (folder / name / f"{kind}.svg").is_file()}
        data = OPTIONS.get(specs.load(name).dataset.name, "")
        splits = ["", *(f" --split {split}" for split in study["shifted"])]
        runs = [f"fracbench run --all --benchmark {name}{data}{split}" for split in splits]
        command = " && ".join([*runs, f"fracbench study --benchmark {name}"])
        parts += [
            f"## {TITLES[name]}",
            made_by(command),
            re.sub(r"^#", "##", body(study, figures), flags=re.MULTILINE).strip(),
        ]
    return "\n\n".join(parts) + "\n"


def _restored(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _restored(of, name) for name, of in value.items()}
    if isinstance(value, list):
        return [_restored(of) for of in value]
    return float("nan") if value is None and key not in WORDS else value
