"""Submissions bound to a job: checked together, estimated or run one by one."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock

from fracbench import registry, third_party
from fracbench.environment import environment
from fracbench.errors import InputError
from fracbench.files import write_atomic
from fracbench.models import Guarded, undisturbed
from fracbench.overlap import compare, listed_hashes
from fracbench.plan import Job
from fracbench.progress import Progress
from fracbench.runner import Outcome, evaluate_model, record_of
from fracbench.schema import THIRD_PARTY
from fracbench.store import TABLES, ResultFolder, digest
from fracbench.submissions import Entry, file_hash, load_model, weights_file
from fracbench.summary import summarise

TIMINGS = 7
SLOWEST_TIMING = 2.0  # seconds: a dry run sends fewer images through a network that takes longer


@dataclass(frozen=True)
class Task:
    """One submission under one job: where its results go and what names them."""

    entry: Entry
    job: Job
    device: str
    folder: ResultFolder
    environment: Mapping[str, Any]
    weights: str | None
    overlap: Mapping[str, Any]

    @property
    def cell_identity(self) -> dict[str, Any]:
        model = self.entry.submission.model.model_dump(mode="json")
        return {"environment": dict(self.environment), "model": model, "weights": self.weights}

    @property
    def identity(self) -> str:
        submission = self.entry.submission.model_dump(mode="json")
        return digest({**self.job.identity(), **self.cell_identity, "submission": submission, "overlap": self.overlap})

    @property
    def finished(self) -> bool:
        """Whether this very run is there, whole, ours, and without a failed cell."""
        try:
            run = self.folder.run()
            if run is None or run.get("identity") != self.identity or self.folder.self_reported:
                return False
        except InputError:
            return False
        return all(cell["status"] != "failed" for cell in run["cells"])

    def model(self) -> Guarded:
        return load_model(self.entry, self.job.spec.image_size, self.device, self.environment["micro_batch"])


def bind(entries: Iterable[Entry], job: Job, device: str) -> list[Task]:
    """A task for each submission. Raises ``InputError`` where files it names are missing or not what it declares."""
    tasks: list[Task] = []
    faults: list[str] = []
    for entry in entries:
        try:
            path = weights_file(entry)
            registry.load("models", entry.submission.model.name)
            overlap = compare(entry.submission.training, job, listed_hashes(entry))
            _keep_apart(job, entry)
        except InputError as error:
            faults += [f"{entry.folder / 'submission.yaml'}: {fault}" for fault in error.faults]
            continue
        folder = ResultFolder(entry.results / job.folder_name, entry.name, job.folder_name)
        env = environment(job, device, entry.submission.model.name)
        tasks.append(Task(entry, job, device, folder, env, file_hash(path) if path else None, overlap))
    if faults:
        raise InputError(*faults)
    return tasks


def _keep_apart(job: Job, entry: Entry) -> None:
    """No secret of the dataset may lie where submissions or results are handed on."""
    for file in getattr(job.dataset, "secret_files", ()):
        for folder in (entry.folder.resolve().parent, entry.results.resolve().parent):
            if file.resolve().is_relative_to(folder):
                raise InputError(f"the secret {file} lies in {folder}, which is handed on; move it to another folder")


def check(tasks: Iterable[Task]) -> None:
    """Build every model once, before anything is computed; ``InputError`` with all faults, a line each."""
    faults = []
    for task in tasks:
        try:
            task.model()
        except InputError as error:
            faults += [f"{task.entry.name}: {fault}" for fault in error.faults]
    if faults:
        raise InputError(*faults)


def claim(tasks: Iterable[Task]) -> None:
    """Make the results folders; ``InputError`` for those that cannot be written to."""
    faults = []
    for task in tasks:
        try:
            task.folder.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=task.folder.path):
                pass
        except OSError as error:
            faults.append(f"{task.folder.path}: cannot be written to ({error.strerror}); pass another --results DIR")
    if faults:
        raise InputError(*faults)


def run_submission(task: Task, progress: Progress) -> Outcome:
    """Evaluate one submission into its results folder."""
    entry, job, device, folder = task.entry, task.job, task.device, task.folder
    submission = entry.submission
    identity = task.cell_identity
    outcome = evaluate_model(task.model(), job, device, folder=folder, identity=identity, progress=progress)
    fields = {
        "submission": entry.name,
        "title": submission.title,
        "authors": list(submission.authors),
        "control": submission.control,
        "training": submission.training.model_dump(mode="json"),
        "model": submission.model.model_dump(mode="json"),
        "weights_sha256": task.weights,
        "reported": submission.reported,
        "overlap": dict(task.overlap),
    }
    run = record_of(fields, job, outcome, task.environment, task.identity)
    run, tables = _with_third_parties(task, run, outcome.tables, progress)
    folder.write(tables, run, summarise(run, tables))
    if not outcome.failed:
        folder.cells.remove()  # the tables hold all of it now
    return outcome


def _with_third_parties(
    task: Task, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], progress: Progress
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The same with all images of third parties that are kept beside the results, each verified now."""
    predictions = tables["predictions"]
    rows, records = [predictions[~predictions.attack.str.startswith(f"{THIRD_PARTY}/")]], []
    for file, by in third_party.kept(task.folder.path / THIRD_PARTY):
        try:
            sent = third_party.read(file, by, task.job)
            third_party.check(sent, task.job)
        except InputError as error:
            progress.note(f"not counted: {error}")
            continue
        rows.append(third_party.verified(sent, task.job, task.model(), task.device, run["random"]))
        records.append({"by": by, "file": file.name, "sha256": sent.sha256})
    return {**run, "third_party": records}, {**tables, "predictions": pd.concat(rows, ignore_index=True)}


def lower(task: Task, file: Path, by: str, progress: Progress) -> dict[str, Any]:
    """Verify a file of perturbed images against a finished run, keep it, and let it count; the new summary.

    Raises ``InputError``, with nothing written, where there is no such run or the file is not what it should be.
    """
    sent = third_party.read(file, by, task.job)
    third_party.check(sent, task.job)
    finished_run(task)
    places = task.folder.path / THIRD_PARTY
    try:
        places.mkdir(exist_ok=True)
        with FileLock(places / "lock"):  # two senders at once: the second counts the first
            write_atomic(third_party.name_for(sent, places), file.read_bytes())
            tables = {name: task.folder.table(name) for name in TABLES}
            run, tables = _with_third_parties(task, finished_run(task), tables, progress)
            summary = summarise(run, tables)
            task.folder.write(tables, run, summary)
    except OSError as error:
        raise InputError(f"{places}: cannot be written to ({error.strerror})") from None
    return summary


def finished_run(task: Task) -> dict[str, Any]:
    """The record of this submission's own run; ``InputError`` where it is another's, or of other rules or weights."""
    folder, spec = task.folder, task.job.spec
    run, again = folder.run(), f"fracbench run {task.entry.name} --benchmark {spec.name}"
    if not task.entry.submission.enters(spec):
        entered = task.entry.submission.benchmarks
        raise InputError(
            f"{task.entry.name} does not enter {spec.name}; pass --benchmark with one of {', '.join(entered)}"
        )
    if run is None:
        raise InputError(f"{folder.path}: no finished run; first {again}")
    if folder.self_reported:
        raise InputError(f"{folder.path}: these results were not made here; first {again}")
    wanted = {
        "spec_hash": digest(spec.decisive()),
        "split": task.job.split,
        "fingerprint": task.job.fingerprint,
        "model": task.entry.submission.model.model_dump(mode="json"),
        "weights_sha256": task.weights,
    }
    other = [name for name, value in wanted.items() if run.get(name) != value]
    if other:
        raise InputError(f"{folder.path}: the run there has another {' and '.join(other)}; first {again}")
    return run


@dataclass(frozen=True)
class Estimate:
    """What ``--dry-run`` prints for one submission."""

    cells: int
    forward: int
    backward: int
    minutes: float


def estimate(task: Task) -> Estimate:
    """Planned passes, and minutes from a timing of the model on this machine, a few seconds for most networks."""
    model, job = task.model(), task.job
    costs = [job.passes(cell) for batch in range(len(job.batches)) for cell in job.cells(batch)]
    forward, backward = sum(f for f, _ in costs), sum(b for _, b in costs)
    size = min(job.spec.logical_batch, model.micro_batch)
    try:
        first = _seconds(model, job.spec.image_size, task.device, 2, gradient=True)
        size = min(size, max(2, int(2 * SLOWEST_TIMING / first)))
        one_way, both = (_time(model, job.spec.image_size, task.device, size, gradient) for gradient in (False, True))
    except Exception as error:
        raise InputError(f"{task.entry.name}: the model fails on images: {type(error).__name__}: {error}") from error
    return Estimate(len(costs), forward, backward, ((forward - backward) * one_way + backward * both) / 60)


def _time(model: Guarded, side: int, device: str, size: int, gradient: bool) -> float:
    """Seconds an image takes: the median of a few timings, after one that warms up."""
    _seconds(model, side, device, size, gradient)
    times: list[float] = []
    while len(times) < TIMINGS and sum(times) < 2 * SLOWEST_TIMING:
        times.append(_seconds(model, side, device, size, gradient))
    return statistics.median(times) / size


def _seconds(model: Guarded, side: int, device: str, size: int, gradient: bool) -> float:
    images = torch.rand(size, 1, side, side, device=device)
    start = time.perf_counter()
    with undisturbed(model), torch.set_grad_enabled(gradient):
        given = images.requires_grad_(gradient)
        margin = model(given).sum()
        if gradient and margin.requires_grad:
            torch.autograd.grad(margin, given, allow_unused=True)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start
