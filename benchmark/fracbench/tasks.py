"""Submissions bound to a job: where each has its results, and what names them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from fracbench import registry
from fracbench.environment import environment
from fracbench.errors import InputError
from fracbench.keyed import digest
from fracbench.models import Guarded
from fracbench.overlap import compare, listed_hashes
from fracbench.plan import Job
from fracbench.schema import THIRD_PARTY
from fracbench.store import ResultFolder
from fracbench.submissions import Entry, file_hash, load_model, weights_file


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
    def evaluation(self) -> str:
        """Hash of all that determines the cells, whoever submitted the model."""
        return digest({**self.job.identity(), **self.cell_identity})

    @property
    def identity(self) -> str:
        submission = self.entry.submission.model_dump(mode="json")
        return digest({**self.job.identity(), **self.cell_identity, "submission": submission, "overlap": self.overlap})

    @property
    def entry_fields(self) -> dict[str, Any]:
        """What ``run.json`` says of the submission."""
        submission = self.entry.submission
        return {
            "submission": self.entry.name,
            "title": submission.title,
            "authors": list(submission.authors),
            "licence": submission.licence,
            "contact": submission.contact,
            "links": list(submission.links),
            "benchmarks": list(submission.benchmarks),
            "control": submission.control,
            "training": submission.training.model_dump(mode="json"),
            "model": submission.model.model_dump(mode="json"),
            "weights_sha256": self.weights,
            "reported": submission.reported,
            "overlap": dict(self.overlap),
        }

    @property
    def finished(self) -> bool:
        """Whether this very run is there, whole, ours, and without a failed cell."""
        return self._whole("identity", self.identity)

    @property
    def whole(self) -> bool:
        """Whether such a run is there, of the same cells, whatever the submission said of itself then."""
        return self._whole("evaluation", self.evaluation)

    def _whole(self, key: str, expected: str) -> bool:
        try:
            run = self.folder.run()
            if run is None or run.get(key) != expected or self.folder.self_reported:
                return False
        except InputError:
            return False
        return all(cell["status"] != "failed" for cell in run["cells"])

    def model(self) -> Guarded:
        return load_model(self.entry, self.job.spec.image_size, self.device, self.environment["micro_batch"])


def bind(entries: Iterable[Entry], job: Job, device: str) -> list[Task]:
    """A task for each submission. Raises ``InputError`` where files it names are missing or not what it declares."""
    tasks, faults = bound(entries, job, device)
    if faults:
        raise InputError(*chain.from_iterable(faults.values()))
    return tasks


def bound(entries: Iterable[Entry], job: Job, device: str) -> tuple[list[Task], dict[str, list[str]]]:
    """Tasks of the submissions whose files are as declared, and the faults of the others, by submission."""
    tasks: list[Task] = []
    faults: dict[str, list[str]] = {}
    for entry in entries:
        try:
            registry.check_name("models", entry.submission.model.name)
            path = weights_file(entry)
            overlap = compare(entry.submission.training, job, listed_hashes(entry))
            _keep_apart(job, entry)
            _no_links(job, entry)
        except InputError as error:
            faults[entry.name] = [f"{entry.folder / 'submission.yaml'}: {fault}" for fault in error.faults]
            continue
        folder = ResultFolder(entry.results / job.folder_name, entry.name, job.folder_name)
        env = environment(job, device, entry.submission.model.name)
        tasks.append(Task(entry, job, device, folder, env, file_hash(path) if path else None, overlap))
    return tasks, faults


def _keep_apart(job: Job, entry: Entry) -> None:
    """No secret of the dataset may lie where submissions or results are handed on."""
    for file in getattr(job.dataset, "secret_files", ()):
        for folder in (entry.folder.resolve().parent, entry.results.resolve().parent):
            if file.resolve().is_relative_to(folder):
                raise InputError(f"the secret {file} lies in {folder}, which is handed on; move it to another folder")


def _no_links(job: Job, entry: Entry) -> None:
    """Nothing is written, or deleted, where a link inside a submission leads."""
    for part in ("", job.folder_name, f"{job.folder_name}/cells", f"{job.folder_name}/{THIRD_PARTY}"):
        if (path := entry.results / part).is_symlink():
            raise InputError(f"{path} is a link; results are written where they lie, so remove it")


def claim(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Make the results folders; the faults of those that cannot be written to, by submission."""
    faults = {}
    for task in tasks:
        try:
            task.folder.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=task.folder.path):
                pass
        except OSError as error:
            fault = f"{task.folder.path}: cannot be written to ({error.strerror}); pass another --results DIR"
            faults[task.entry.name] = [fault]
    return faults


def finished_run(task: Task, again: str, ours: bool = True) -> dict[str, Any]:
    """The record of this submission's run of these rules and weights; with ``ours``, one that was made here.

    ``InputError`` where there is none; ``again`` is what to type for one.
    """
    folder, spec = task.folder, task.job.spec
    run = folder.run()
    if not task.entry.submission.enters(spec):
        entered = task.entry.submission.benchmarks
        raise InputError(
            f"{task.entry.name} does not enter {spec.name}; pass --benchmark with one of {', '.join(entered)}"
        )
    if run is None:
        trial = folder.path.with_name(f"{folder.path.name}-custom")
        kept = f" ({trial.name} is a trial run, which counts for nothing)" if trial.is_dir() else ""
        raise InputError(f"{folder.path}: no finished run{kept}; first {again}")
    if ours and folder.self_reported and folder.verified is None:
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
