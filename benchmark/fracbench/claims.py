"""What the files of a run say as a whole, held against the benchmark and the submission; no cell is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import third_party
from fracbench.comparing import PICTURE, alike
from fracbench.data import load
from fracbench.pictures import png
from fracbench.plan import CLEAN, Cell, Job
from fracbench.runner import Outcome, record_of
from fracbench.schema import ADAPTIVE, THIRD_PARTY, with_rounding
from fracbench.store import same_json
from fracbench.summary import summarise
from fracbench.tasks import Task

PICTURES, STRONGEST = ("radiograph", "mask", "perturbation", "attributions"), "strongest"
# of run.json, what this machine or this moment says; all else the benchmark or the submission does
OF_THE_RUN = ("schema_version", "random", "environment", "device", "seconds", "passes", "identity", "finished", "cells")


def planned_cells(task: Task, run: Mapping[str, Any]) -> list[Cell]:
    """The cells that a run of this benchmark has; those of the adaptive attack where something asked for them."""
    job = task.job
    flagged = any(flag["unranks"] for flag in (task.folder.summary() or {}).get("flags", []))
    asked = job.adaptive is not None and (flagged or ADAPTIVE in run["attacks"])
    batches = range(len(job.batches))
    more = [cell for batch in batches for cell in job.answering(batch)] if asked else []
    return [cell for batch in batches for cell in job.cells(batch)] + more


def cell_of(record: Mapping[str, Any]) -> Cell:
    """The cell that a record is of."""
    return Cell(*(record[name] for name in ("kind", "batch", "attack", "epsilon", "explainer", "norm")))


def false_claims(
    task: Task, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], planned: Sequence[Cell]
) -> Iterator[str]:
    """A sentence for each thing that cannot be: records, fields, rows, ladders, third parties, the summary."""
    yield from _of_records(planned, run)
    yield from _of_fields(task, run, planned)
    yield from _of_tables(task, run, tables)
    if task.job.rungs:
        yield from _of_ladders(task.job, planned, tables["predictions"])
    yield from _of_third_parties(task, run, tables["predictions"])
    yield from _of_gallery(task.job, tables["gallery"])


def _of_records(planned: Sequence[Cell], run: Mapping[str, Any]) -> Iterator[str]:
    """Each cell of the benchmark has one record, and no other has."""
    records = Counter(map(cell_of, run["cells"]))
    for cell in planned:
        if records[cell] != 1:
            yield f"'{cell.label}' of batch {cell.batch} has {records[cell]} records, not one"
    for cell in records.keys() - set(planned):
        yield f"'{cell.label}' of batch {cell.batch} is no cell of this benchmark"
    for record in run["cells"]:
        may = ("done", "unsupported") if record["kind"] in ("explain", "explanation") else ("done",)
        if record["status"] not in may:
            yield f"'{cell_of(record).label}' of batch {record['batch']} is {record['status']}"
        if record["kind"] == "symptoms" and "symptoms" not in record:
            yield f"the symptoms of batch {record['batch']} are missing"


def _of_fields(task: Task, run: Mapping[str, Any], planned: Sequence[Cell]) -> Iterator[str]:
    """What ``run.json`` says of the benchmark and the submission is what they say."""
    cells = [{"kind": cell.kind, "attack": cell.attack} for cell in planned]
    fields, outcome = task.entry_fields, Outcome({}, cells, False, 0.0, {})
    for name, value in record_of(fields, task.job, outcome, task.environment, "").items():
        if name not in OF_THE_RUN and not (name in run and same_json(run[name], value)):
            yield f"{name} of run.json is not this {'submission' if name in fields else 'benchmark'}'s"


def _of_ladders(job: Job, planned: Sequence[Cell], predictions: pd.DataFrame) -> Iterator[str]:
    """Each image has a row for each rung, and what breaks at one breaks at every larger one."""
    images = sorted(sample.id for batch in job.batches for sample in batch)
    on_ladder = predictions[predictions.ladder.astype(bool) & (predictions.threat == job.spec.threat.norm)]
    for name in dict.fromkeys(cell.attack for cell in planned if cell.kind == "ladder"):
        mine = on_ladder[on_ladder.attack == name]
        rungs = [mine[np.isclose(mine.epsilon, rung, rtol=1e-9, atol=0)] for rung in job.rungs]
        if any(sorted(of.image) != images for of in rungs) or len(mine) != len(images) * len(rungs):
            yield f"the ladder of '{name}' does not have one row for each image and rung"
            continue
        correct = np.array([of.set_index("image").correct.reindex(images) for of in rungs], dtype=bool)
        if (correct[1:] & ~correct[:-1]).any():
            yield f"an image that breaks on the ladder of '{name}' is whole on a higher rung"


def _of_third_parties(task: Task, run: Mapping[str, Any], predictions: pd.DataFrame) -> Iterator[str]:
    """Images of third parties count where their files are kept, and those that are kept count."""
    files, images = [], Counter[str]()
    for file, sent in third_party.received(task.folder.path / THIRD_PARTY, task.job):
        if isinstance(sent, third_party.Sent):  # what a run does not count either is left out
            files.append(sent.record(file))
            images[sent.attack] += len(sent.ids)
    rows = predictions[predictions.attack.str.startswith(f"{THIRD_PARTY}/")]
    if Counter(rows.attack) != images or not same_json(run.get("third_party", []), files):
        yield "the rows of third parties are not those of the files kept"


def _of_gallery(job: Job, gallery: pd.DataFrame) -> Iterator[str]:
    """The pictures are of the images that the benchmark shows, each there once; radiographs and masks are its own."""
    if gallery.empty and not job.gallery:
        return
    if not {*PICTURE, "label", "png"} <= set(gallery):
        yield "the gallery lacks a column"
        return
    if set(gallery.image) != job.gallery or gallery.duplicated(PICTURE).any():
        yield "the gallery does not have the benchmark's images, each picture once"
        return
    if not set(gallery.kind) <= set(PICTURES) or not set(gallery.condition) <= {CLEAN, STRONGEST}:
        yield "the gallery has a kind of picture that no run makes"
    kept = gallery[gallery.kind.isin(PICTURES[:2]) & (gallery.condition == CLEAN)].set_index(["image", "kind"]).png
    for samples in job.batches:
        shown = [sample for sample in samples if sample.id in job.gallery]
        batch = load(job.dataset, shown, job.spec.image_size) if shown else None
        for i, sample in enumerate(shown):
            assert batch is not None
            planes = {"radiograph": batch.images[i, 0], "mask": batch.masks[i].float()}
            for kind, plane in planes.items():
                if not alike(png(plane), kept.get((sample.id, kind))):
                    yield f"the {kind} of {sample.id} in the gallery is not the benchmark's"


def _of_tables(task: Task, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """What is wrong with a run's tables as a whole."""
    samples = {sample.id: sample for batch in task.job.batches for sample in batch}
    images = tables["images"].set_index("image")
    if sorted(images.index) != sorted(samples):
        yield "the images are not those of the benchmark"
        return
    for name in ("label", "group", "annotated"):
        if any(images[name][image] != getattr(sample, name) for image, sample in samples.items()):
            yield f"the {name} of an image is not the benchmark's"
    yield from _missing(task.job, run, tables, samples)
    try:
        recomputed = summarise(dict(run), dict(tables))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        yield f"no summary can be made of the tables ({type(error).__name__}: {error})"
        return
    if not same_json(recomputed, task.folder.summary()):
        yield "the summary does not follow from the tables"


def _missing(
    job: Job, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], samples: Mapping[str, Any]
) -> Iterator[str]:
    predictions, explained = tables["predictions"], tables["alignment"]
    own = predictions[(predictions.part == "") & ~predictions.ladder.astype(bool)]
    reference = own[(own.threat == job.spec.threat.norm) & np.isclose(own.epsilon, job.spec.threat.model.epsilon)]
    for name, rows in [(CLEAN, own[own.attack == CLEAN]), *((of, reference) for of in job.attacks)]:
        if sorted(rows[rows.attack == name].image) != sorted(samples):
            yield f"'{name}' does not have one row for each image"
    ball = predictions[predictions.threat.isin(("linf", "l2")) & predictions.distance.notna()]
    if not (ball.distance.between(0, ball.epsilon.map(with_rounding))).all():
        yield "a distance is outside its ball"
    asked = predictions[~(predictions.ladder | predictions.carried).astype(bool)]
    if (asked.correct.astype(bool) != (asked.margin > 0)).any():
        yield "an answer does not follow from its margin"
    failed = {cell["explainer"] for cell in run["cells"] if cell["status"] != "done"}
    for name in set(job.explainers) - failed:
        if sorted(explained[(explained.attack == CLEAN) & (explained.explainer == name)].image) != sorted(samples):
            yield f"'{name}' on clean does not have one row for each image"
