"""Runs a plan: every model x attack x explainer, one finished cell at a time."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fracbench.cells import Bench
from fracbench.data import load
from fracbench.models import Guarded, undisturbed
from fracbench.plan import CLEAN, Job
from fracbench.progress import Progress, Silent
from fracbench.robustness import is_random
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import CellResult, ResultFolder, digest

PREDICTION_COLUMNS = (
    *("image", "threat", "epsilon", "attack", "part", "margin", "correct", "distance", "carried", "ladder"),
    *("zero_gradient", "fracture_margin"),
)
TRUTHS = ("correct", "carried", "ladder", "zero_gradient")
ALIGNMENT_COLUMNS = ("image", "threat", "epsilon", "attack", "explainer", "grid", "blank", "hit")


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
            elif result.status == "unsupported" and (cell.batch, cell.attack) == (0, CLEAN):
                effect = "the row is not ranked" if cell.explainer in job.spec.panel else "not in the headline"
                progress.note(f"unsupported ({effect}): {cell.explainer}: {result.record['error']}")
    return Outcome(
        _assemble(collected.tables, job),
        collected.records,
        random,
        sum(record["seconds"] for record in collected.records),
        {way: sum(record[way] for record in collected.records) for way in ("forward", "backward")},
    )


def _probe_random(model: Guarded, job: Job, device: str) -> bool:
    """Whether the first images get other answers when asked again; what raises here fails its cells later."""
    some = load(job.dataset, job.batches[0][:8], job.spec.image_size)
    before = model.passes.copy()
    try:
        with undisturbed(model):
            return is_random(model, some.images.to(device))
    except Exception:
        return False
    finally:
        model.passes.forward, model.passes.backward = before.forward, before.backward


def _assemble(collected: Mapping[str, Sequence[pd.DataFrame]], job: Job) -> dict[str, pd.DataFrame]:
    def joined(name: str) -> pd.DataFrame:
        frames = collected.get(name, [])
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    images, predictions, alignment, gallery = (
        joined(name) for name in ("images", "predictions", "alignment", "gallery")
    )
    if images.empty:  # every clean cell has failed
        images = _bare_images(job)
    for ceilings in _ceilings(collected.get("ceilings", [])):
        images = images.merge(ceilings, on="image", how="left")
    if predictions.empty:
        predictions = pd.DataFrame(columns=PREDICTION_COLUMNS).astype(dict.fromkeys(TRUTHS, bool))
    if alignment.empty:
        alignment = pd.DataFrame(columns=[*ALIGNMENT_COLUMNS, *job.spec.metrics])
    return {"images": images, "predictions": predictions, "alignment": alignment,
            "gallery": _strongest_only(gallery, predictions, list(job.attacks))}  # fmt: skip


def _bare_images(job: Job) -> pd.DataFrame:
    samples = [sample for batch in job.batches for sample in batch]
    fields = ("label", "group", "annotated")
    bare = pd.DataFrame({"image": [s.id for s in samples], **{f: [getattr(s, f) for s in samples] for f in fields}})
    return bare.assign(**{f"chance_{name}": float("nan") for name in (*job.spec.metrics, "hit")})


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
        "folder": job.folder_name,
        "spec_hash": digest(spec.decisive()),
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
