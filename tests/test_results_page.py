"""docs/results.md has every key and column that a run writes, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY
from fracbench.schema import INSTANCES
from fracbench.store import TABLES

PAGE = (REPOSITORY / "docs" / "results.md").read_text()
FILES = ("run.json", "summary.json", *(f"{name}.parquet" for name in TABLES))


def documented(file: str) -> list[str]:
    section = PAGE.split(f"\n## {file}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def written(folder: Path, file: str) -> list[str]:
    """Keys or columns, with METRIC and GRID for what depends on the spec and the network."""
    if file.endswith(".json"):
        return list(json.loads((folder / file).read_text()))
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    referenced = re.compile(rf"(chance|ceiling)_({'|'.join([*metrics, *INSTANCES, 'hit'])})(_(full|\d+x\d+))?")
    found = []
    for column in pd.read_parquet(folder / file).columns:
        if parts := referenced.fullmatch(column):
            column = f"{parts[1]}_METRIC{'_GRID' if parts[3] else ''}"
        found.append("METRIC" if file == "alignment.parquet" and column in metrics else column)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("file", FILES)
def test_the_page_has_what_a_run_writes(smoke: Path, file: str) -> None:
    names = documented(file)
    assert len(names) == len(set(names)), "each once"
    assert sorted(names) == sorted(written(smoke / "phantom-resnet-standard" / "smoke", file))


def test_every_section_is_a_file() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == list(FILES)
