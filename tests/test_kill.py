"""Kill a run for good three times; the same command afterwards must give what an undisturbed run gives."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import STARTERS, Command
from fracbench.store import TABLES

NAME = "phantom-resnet-standard"
ENDS = {"seconds", "finished", "seal"}  # times and timestamps, and what signs them


def cells(folder: Path) -> int:
    return len(list(folder.glob("cells/*.zip")))


@pytest.mark.slow
def test_three_kills_leave_no_trace(smoke: Path, command: Command) -> None:
    arguments = ("run", NAME, "--benchmark", "smoke", "--submissions", STARTERS, "--results", "results")
    folder = command.folder / "results" / NAME / "smoke"
    for stop_at in (4, 30, 70):
        process = command.start(*arguments)
        while cells(folder) < stop_at:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert not (folder / "run.json").exists() and not (folder / "summary.json").exists()
    before = cells(folder)
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert before >= 70 and cells(folder) == 0, "finished cells move into the tables"
    for name in TABLES:
        ours, undisturbed = (pd.read_parquet(root / f"{name}.parquet") for root in (folder, smoke / NAME / "smoke"))
        pd.testing.assert_frame_equal(ours, undisturbed)
    ours, undisturbed = (
        {key: value for key, value in json.loads((root / "run.json").read_text()).items() if key not in ENDS}
        for root in (folder, smoke / NAME / "smoke")
    )
    for run in (ours, undisturbed):
        for cell in run["cells"]:
            for of in (cell, *cell.get("parts", {}).values()):
                del of["seconds"]
    assert ours == undisturbed
