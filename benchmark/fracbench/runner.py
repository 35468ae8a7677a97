"""Runs a plan: every model x attack x explainer, one finished cell at a time."""

from __future__ import annotations

import datetime
import hashlib
import platform
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import fracbench
from fracbench import registry
from fracbench.cells import Bench
from fracbench.data import load
from fracbench.errors import InputError
from fracbench.models import Guarded, undisturbed
from fracbench.plan import Job
from fracbench.progress import Progress, Silent
from fracbench.robustness import is_random
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import CellResult, ResultFolder, digest
from fracbench.submissions import Entry, load_model, weights_file
from fracbench.summary import summarise

MICRO_BATCH = {"cpu": 64, "cuda": 256}
PACKAGES = ("torch", "torchvision", "timm", "captum", "quantus", "pyautoattack", "numpy", "pandas")


def pick_device(asked: str) -> str:
    """``auto`` takes a CUDA device where there is one."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {asked}: this machine has no CUDA device; use --device cpu or auto")
    try:
        return str(torch.device(asked))
    except RuntimeError:
        raise InputError(f"unknown device '{asked}'; use auto, cpu or cuda") from None


def prepare(device: str) -> None:
    """Full float32 precision: TF32 moves margins by more than two devices may differ."""
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


@cache
def _code_hash(packages: tuple[str, ...]) -> str:
    """Hash of the Python sources that compute: a changed attack is another cell."""
    total = hashlib.sha256()
    for package in packages:
        module = __import__(package)
        for root in sorted(module.__path__):
            for file in sorted(Path(root).rglob("*.py")):
                total.update(file.read_bytes())
    return total.hexdigest()


def _versions() -> dict[str, str]:
    found = {"fracbench": fracbench.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def _plugin_packages(job: Job) -> tuple[str, ...]:
    """Top-level packages whose code takes part; classes of a notebook are hashed by nothing but name."""
    plugins = [job.dataset, *job.attacks.values(), *job.explainers.values()]
    plugins += [registry.load("metrics", name) for name in job.spec.metrics]
    names = {(p.__module__ if isinstance(p, type) else type(p).__module__).partition(".")[0] for p in plugins}
    return tuple(sorted({"fracbench"} | {n for n in names if hasattr(__import__(n), "__path__")}))


def environment(job: Job, device: str, micro_batch: int) -> dict[str, Any]:
    """What of the machine and the code determines the numbers."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "device": device,
        "device_name": name,
        "micro_batch": micro_batch,
        "threads": torch.get_num_threads(),
        "versions": _versions(),
        "code": _code_hash(_plugin_packages(job)),
    }


@dataclass
class Outcome:
    """All cells of one model under one job, as tables and records."""

    tables: dict[str, pd.DataFrame]
    cells: list[dict[str, Any]]
    random: bool
    seconds: float
    passes: dict[str, int]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [cell for cell in self.cells if cell["status"] == "failed"]


@dataclass
class _Collected:
    tables: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: CellResult) -> None:
        self.records.append(result.record)
        for name, table in result.tables.items():
            if not table.empty:
                self.tables[name].append(table)


def evaluate_model(
    model: Guarded,
    job: Job,
    device: str,
    *,
    folder: ResultFolder | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compute or read back every cell. Finished cells go to ``folder`` as soon as they are there."""
    progress = progress or Silent()
    known = {**job.identity(), **(identity or {})}
    random = _probe_random(model, job, device)
    collected = _Collected()
    for batch in range(len(job.batches)):
        bench = Bench(job, model, batch, device, random)
        for cell in job.cells(batch):
            name = known | {"cell": [cell.kind, cell.batch, cell.attack, cell.epsilon, cell.explainer]}
            result = folder.cells.read(name) if folder else None
            progress.cell(cell.label, sum(job.passes(cell)), cached=result is not None)
            if result is None:
                result = bench.compute(cell)
                if folder:
                    folder.cells.write(name, result)
            bench.results[cell] = result
            collected.add(result)
            if result.status == "failed":
                progress.note(f"failed: {cell.label}: {result.record['error']}")
            elif result.status == "unsupported" and batch == 0:
                progress.note(f"unsupported: {cell.label}: {result.record['error']}")
    return Outcome(
        _assemble(collected.tables, job),
        collected.records,
        random,
        sum(record["seconds"] for record in collected.records),
        {way: sum(record[way] for record in collected.records) for way in ("forward", "backward")},
    )


def _probe_random(model: Guarded, job: Job, device: str) -> bool:
    some = load(job.dataset, job.batches[0][:8], job.spec.image_size)
    before = model.passes.copy()
    with undisturbed(model):
        random = is_random(model, some.images.to(device))
    model.passes.forward, model.passes.backward = before.forward, before.backward
    return random


def _assemble(collected: Mapping[str, Sequence[pd.DataFrame]], job: Job) -> dict[str, pd.DataFrame]:
    def joined(name: str) -> pd.DataFrame:
        frames = collected.get(name, [])
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    images, predictions, alignment, gallery = (
        joined(name) for name in ("images", "predictions", "alignment", "gallery")
    )
    for ceilings in _ceilings(collected.get("ceilings", [])):
        images = images.merge(ceilings, on="image", how="left")
    if images.empty:
        images = pd.DataFrame(
            {"image": [s.id for b in job.batches for s in b], "label": [s.label for b in job.batches for s in b],
             "group": [s.group for b in job.batches for s in b],
             "annotated": [s.annotated for b in job.batches for s in b]}
        )  # fmt: skip
    return {"images": images, "predictions": predictions, "alignment": alignment,
            "gallery": _strongest_only(gallery, predictions, list(job.attacks))}  # fmt: skip


def _ceilings(frames: Iterable[pd.DataFrame]) -> list[pd.DataFrame]:
    """One frame for each grid: explainers that share a grid share their ceilings."""
    by_grid: dict[tuple[str, ...], list[pd.DataFrame]] = defaultdict(list)
    for frame in frames:
        by_grid[tuple(frame.columns)].append(frame)
    return [pd.concat(of).drop_duplicates("image") for of in by_grid.values()]


def _strongest_only(gallery: pd.DataFrame, predictions: pd.DataFrame, attacks: Sequence[str]) -> pd.DataFrame:
    """Of the attacked pictures keep those of each image's lowest-margin attempt."""
    if gallery.empty or predictions.empty:
        return gallery
    from fracbench.summary import strongest_attack

    strongest = strongest_attack(predictions, attacks)
    keep = (gallery.condition == "clean") | (gallery.attack == gallery.image.map(strongest))
    return gallery[keep].reset_index(drop=True)


def record_of(
    entry_fields: Mapping[str, Any], job: Job, outcome: Outcome, env: Mapping[str, Any], identity: str
) -> dict[str, Any]:
    """``run.json``: what was run, on what, with what, and how each cell ended."""
    spec = job.spec
    return {
        "schema_version": SCHEMA_VERSION,
        **entry_fields,
        "spec": spec.name,
        "spec_hash": digest(spec.model_dump(mode="json")),
        "resolved_spec": spec.model_dump(mode="json"),
        "resolved_params": {
            "attacks": {name: repr(attack) for name, attack in job.attacks.items()},
            "ladder": repr(job.ladder_attack),
            "explainers": {name: repr(explainer) for name, explainer in job.explainers.items()},
        },
        "dataset": spec.dataset.name,
        "split": job.split,
        "fingerprint": job.fingerprint,
        "threat": spec.threat.norm,
        "epsilon": spec.threat.epsilon,
        "ladder": list(spec.threat.ladder.epsilons) if spec.threat.ladder else [],
        "attacks": list(job.attacks),
        "black_box": job.black_box,
        "explainers": list(job.explainers),
        "panel": list(spec.panel),
        "metrics": list(spec.metrics),
        "custom": job.custom,
        "random": outcome.random,
        "environment": dict(env),
        "device": env["device_name"] if env["device"] != "cpu" else f"cpu ({env['threads']} threads)",
        "seconds": outcome.seconds,
        "passes": outcome.passes,
        "identity": identity,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cells": outcome.cells,
    }


def run_submission(entry: Entry, job: Job, device: str, progress: Progress) -> Outcome | None:
    """Evaluate one submission into its results folder; None when it is finished already."""
    submission = entry.submission
    micro_batch = MICRO_BATCH[device.partition(":")[0]]
    env = environment(job, device, micro_batch)
    path = weights_file(entry)
    weights = None
    if path is not None:
        from fracbench.submissions import file_hash

        weights = file_hash(path)
    identity = {"environment": env, "model": submission.model.model_dump(mode="json"), "weights": weights}
    whole = digest({**job.identity(), **identity, "submission": submission.model_dump(mode="json")})
    folder = ResultFolder(entry.results / job.folder_name, entry.name, job.folder_name)
    if is_finished(folder, whole):
        progress.note(f"{entry.name}: finished already in {folder.path}")
        return None
    model = load_model(entry, job.spec.image_size, device, micro_batch)
    outcome = evaluate_model(model, job, device, folder=folder, identity=identity, progress=progress)
    fields = {
        "submission": entry.name,
        "title": submission.title,
        "authors": list(submission.authors),
        "control": submission.control,
        "training": submission.training.model_dump(mode="json"),
        "model": submission.model.model_dump(mode="json"),
        "weights_sha256": weights,
        "reported": submission.reported,
    }
    run = record_of(fields, job, outcome, env, whole)
    folder.write(outcome.tables, run, summarise(run, outcome.tables))
    if not outcome.failed:
        folder.cells.remove()  # the tables hold all of it now
    return outcome


def is_finished(folder: ResultFolder, identity: str) -> bool:
    """Whether this very run is there, whole, ours, and without a failed cell."""
    try:
        run = folder.run()
        if run is None or run.get("identity") != identity or folder.self_reported:
            return False
    except InputError:
        return False
    return all(cell["status"] != "failed" for cell in run["cells"])


@dataclass(frozen=True)
class Estimate:
    """What ``--dry-run`` prints for one submission."""

    cells: int
    forward: int
    backward: int
    minutes: float


def estimate(entry: Entry, job: Job, device: str) -> Estimate:
    """Planned passes, and minutes from a short timing of the model on this machine."""
    model = load_model(entry, job.spec.image_size, device, MICRO_BATCH[device.partition(":")[0]])
    cells = [cell for batch in range(len(job.batches)) for cell in job.cells(batch)]
    costs = [job.passes(cell) for cell in cells]
    forward, backward = sum(f for f, _ in costs), sum(b for _, b in costs)
    images = torch.rand(16, 1, job.spec.image_size, job.spec.image_size, device=device)

    def seconds(gradient: bool) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            with undisturbed(model), torch.set_grad_enabled(gradient):
                given = images.clone().requires_grad_(gradient)
                margin = model(given).sum()
                if gradient:
                    torch.autograd.grad(margin, given)
            best = min(best, time.perf_counter() - start)
        return best / len(images)

    one_way, both = seconds(False), seconds(True)
    return Estimate(len(cells), forward, backward, ((forward - backward) * one_way + backward * both) / 60)
