"""Submissions checked, estimated and run, each in a process of its own: what one breaks, the others do not notice."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fracbench import inside, specs, third_party
from fracbench.alike import evaluated_already
from fracbench.apart import Died, Limits, apart
from fracbench.cell_store import Unwritable
from fracbench.doctor import Finding
from fracbench.errors import InputError
from fracbench.files import write_atomic
from fracbench.inside import BETWEEN_CELLS, Estimate
from fracbench.plan import Cell
from fracbench.progress import Progress
from fracbench.robust_scores import of_third_parties
from fracbench.run_record import record_of
from fracbench.runner import Outcome, read_back
from fracbench.schema import THIRD_PARTY
from fracbench.spreading import DEATHS, Pool, evaluate_spread
from fracbench.store import TABLES
from fracbench.summary import summarise
from fracbench.tasks import Task, finished_run
from fracbench.verify import Verdict

T = TypeVar("T")


def _ignore(*_: Any) -> None:
    pass


def _in_process(
    task: Task, limits: Limits, work: Callable[..., T], *arguments: object, hear: Callable[..., None] = _ignore
) -> T:
    """What ``work`` makes of a task in the process of its submission."""
    return apart(partial(work, task, *arguments), limits, limits.seconds or BETWEEN_CELLS, hear)


def check(tasks: Iterable[Task], limits: Limits) -> dict[str, list[str]]:
    """Build every model once, before anything is computed: the faults of those that cannot be, by submission."""
    faults = {}
    for task in tasks:
        try:
            _in_process(task, limits, inside.build)
        except InputError as error:
            faults[task.entry.name] = [f"{task.entry.name}: {fault}" for fault in error.faults]
        except Died as error:
            faults[task.entry.name] = [f"{task.entry.name}: the model cannot be built: {error}"]
    return faults


def examine(task: Task, limits: Limits, show: Callable[[Finding], None]) -> None:
    """Look at the model of a submission before a long run; ``show`` gets each finding as it is made."""
    try:
        _in_process(task, limits, inside.examine, hear=lambda _, finding: show(finding))
    except Died as error:
        show(Finding("fail", "model", f"{error}; what it did is done in every run"))


def estimate(task: Task, limits: Limits) -> Estimate:
    """Planned passes, and minutes from a timing of the model on this machine, a few seconds for most networks."""
    try:
        return _in_process(task, replace(limits, seconds=None), inside.estimate)  # it is no cell
    except Died as error:
        raise InputError(f"{task.entry.name}: the model fails on images: {error}") from error


def verify(task: Task, cells: int, seed: int, limits: Limits, again: str, show: Callable[[str], None]) -> Verdict:
    """Compute a random sample of a finished run's cells again; where all agrees, the run is stamped as verified.

    ``show`` gets what is under way, ``again`` is what to type where there is no such run. Raises ``InputError`` for
    that, and where the results cannot be written to.
    """
    run = finished_run(task, again, ours=False)
    try:
        verdict = _in_process(task, limits, inside.verify, run, cells, seed, hear=lambda _, text: show(text))
    except Died as error:
        raise InputError(f"{task.entry.name}: cannot be computed again: {error}") from error
    if not verdict.wrong and verdict.cells:
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        facts = {"date": date, "cells": verdict.cells, "seed": seed, "environment": dict(task.environment)}
        try:
            task.folder.stamp(facts)
        except OSError as error:
            raise InputError(f"{task.folder.path}: cannot be written to ({error.strerror})") from None
    return verdict


@dataclass
class _Heard:
    """What a process tells of its cells; a process that takes another's place tells the first of them again."""

    progress: Progress
    told: int = 0
    seen: int = 0
    under_way: Cell | None = None
    answering: bool = False

    def __call__(self, kind: str, *content: Any) -> None:
        if kind == "cell":
            self.seen += 1
            self.under_way = None
            if self.seen > self.told:
                self.told = self.seen
                label, weight, cached = content
                self.progress.cell(label, weight, cached=cached)
        elif kind == "begins":
            (self.under_way,) = content
        elif kind == "more" and not self.answering:
            self.answering = True
            self.progress.more(*content)
        elif kind == "unwritable":
            raise Unwritable(*content)
        elif kind == "note" and self.seen >= self.told:
            self.progress.note(*content)


def run_submission(
    task: Task, limits: Limits, progress: Progress, others: Iterable[Task] = (), pool: Pool | None = None
) -> Outcome:
    """Evaluate one submission into its results folder, unless one of ``others`` is the same model and has finished.

    On the workers of ``pool``, or in one process.
    A cell in which its process dies has failed, and a new process goes on after it; at the third death all that is not
    finished has failed.
    """
    folder, job = task.folder, task.job
    if (found := evaluated_already(task, others)) is not None:
        taken_from, outcome = found
        whose = f"{taken_from}, whose cells it takes" if taken_from != task.entry.name else "before, with its cells"
        progress.note(f"{task.entry.name}: the same model and weights as {whose}")
        for cell in (cell for batch in range(len(job.batches)) for cell in job.cells(batch)):
            progress.cell(cell.label, sum(job.passes(cell)), cached=True)
    else:
        taken_from = None
        outcome = _evaluated(task, limits, progress) if pool is None else evaluate_spread(task, pool, limits, progress)
    given = task.entry_fields, job, outcome, task.environment, task.identity, task.evaluation
    run = record_of(*given, taken_from if taken_from != task.entry.name else None)
    run, tables = _with_third_parties(task, run, outcome.tables, limits, progress)
    folder.write(tables, run, summarise(run, tables))
    if not outcome.failed and not specs.extended(job.spec):
        folder.cells.remove()  # the tables hold all of it now, and no other spec would take them
    return outcome


def _evaluated(task: Task, limits: Limits, progress: Progress) -> Outcome:
    lost: dict[Cell, str] = {}
    heard = _Heard(progress)
    for _ in range(DEATHS):
        heard.seen, heard.under_way = 0, None
        try:
            return _in_process(task, limits, inside.evaluate, limits.seconds, dict(lost), hear=heard)
        except InputError as error:  # the model was built a moment ago
            reason = f"the model cannot be built: {error}"
        except Died as error:
            reason = str(error)
        if heard.under_way is not None:
            lost[heard.under_way] = reason
    progress.note(f"given up: {task.entry.name}: {reason}")
    given_up = f"not tried, for the model was given up: {reason}"
    return read_back(task.job, task.folder, task.cell_identity, lost, given_up, answering=heard.answering)


def _with_third_parties(
    task: Task, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], limits: Limits, progress: Progress
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The same with all images of third parties that are kept beside the results, each verified now."""
    predictions = tables["predictions"]
    own = predictions[~of_third_parties(predictions)]
    counted, records = [], []
    for file, sent in third_party.received(task.folder.path / THIRD_PARTY, task.job):
        if isinstance(sent, InputError):
            progress.note(f"not counted: {sent}")
            continue
        counted.append(sent)
        records.append(sent.record(file))
    rows: list[pd.DataFrame] = []
    if counted:
        try:
            patience = limits.seconds or BETWEEN_CELLS
            rows = _in_process(task, limits, inside.answers, counted, run["random"], patience)
        except Died as error:
            raise InputError(f"{task.entry.name}: its answers to images of third parties: {error}") from error
    return {**run, "third_party": records}, {**tables, "predictions": pd.concat([own, *rows], ignore_index=True)}


def lower(task: Task, file: Path, by: str, limits: Limits, progress: Progress) -> dict[str, Any]:
    """Verify a file of perturbed images against a finished run, keep it, and let it count; the new summary.

    Raises ``InputError``, with nothing written, where there is no such run or the file is not what it should be.
    """
    sent = third_party.read(file, by, task.job)
    third_party.check(sent, task.job)
    again = f"fracbench run {task.entry.name} --benchmark {task.job.spec.name}"
    finished_run(task, again)
    places = task.folder.path / THIRD_PARTY
    try:
        places.mkdir(exist_ok=True)
        # two senders at once: the second counts the first; and no run replaces the tables meanwhile
        with task.folder.alone(partial(progress.note, f"waiting for another command in {task.folder.path}")):
            write_atomic(third_party.name_for(sent, places), file.read_bytes())
            tables = {name: task.folder.table(name) for name in TABLES}
            run, tables = _with_third_parties(task, finished_run(task, again), tables, limits, progress)
            summary = summarise(run, tables)
            task.folder.write(tables, run, summary)
    except OSError as error:
        raise InputError(f"{places}: cannot be written to ({error.strerror})") from None
    return summary
