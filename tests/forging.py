"""Results as somebody would forge them, and what `verify` finds in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import Result
from conftest import STARTERS
from fracbench import claims, specs
from fracbench import verify as verifying
from fracbench.plan import Cell
from fracbench.resolving import resolve
from fracbench.store import TABLES, ResultFolder
from fracbench.submissions import discover
from fracbench.summary import summarise
from fracbench.tasks import Task, bind
from test_cli import call

PGD = Cell("attack", 0, "pgd", "0.5/255")
NAME, OPTIONS = "phantom-resnet-standard", ("--benchmark", "smoke", "--submissions", STARTERS)


def folder_of(results: Path) -> ResultFolder:
    return ResultFolder(results / NAME / "smoke", NAME, "smoke")


def forge(results: Path, summarised: bool = True, said: dict[str, Any] | None = None, **changes: Any) -> None:
    """Replace tables by what ``changes`` make of them, seal, and sum up again as somebody would who forges well.

    ``said`` replaces fields of ``run.json``.
    """
    folder = folder_of(results)
    tables = {name: folder.table(name) for name in TABLES}
    tables |= {name: change(tables[name]) for name, change in changes.items()}
    run, summary = folder.run(), folder.summary()
    assert run is not None and summary is not None
    run |= said or {}
    folder.write(tables, run, summarise(run, tables) if summarised else summary | {"curve_area": 0.9})


def verify(results: Path, *more: object) -> Result:
    return call("verify", NAME, *OPTIONS, "--results", results, *map(str, more))


def task_of(results: Path) -> Task:
    (entry,) = discover(STARTERS, None, [NAME])
    (task,) = bind([entry], resolve(specs.load("smoke")), "cpu")
    return replace(task, folder=folder_of(results))


def again(results: Path, n: int) -> verifying.Verdict:
    """The same in this process."""
    return verifying.verify(task_of(results), run_of(results), n, 0, lambda *_: None)


def faults_of(results: Path, said: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """What cannot be, of these results with changes as ``forge`` makes them; nothing is written."""
    task, run = task_of(results), run_of(results) | (said or {})
    tables = {name: task.folder.table(name) for name in TABLES}
    tables |= {name: change(tables[name]) for name, change in changes.items()}
    return list(claims.false_claims(task, run, tables, claims.planned_cells(task, run)))


def run_of(results: Path) -> dict[str, Any]:
    run = folder_of(results).run()
    assert run is not None
    return run
