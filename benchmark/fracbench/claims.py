"""What the files of a run say as a whole, held against the benchmark and the submission; no cell is computed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import third_party
from fracbench.cells import record_of as cell_record
from fracbench.claimed_rows import false_rows
from fracbench.comparing import PICTURE, alike
from fracbench.data import load
from fracbench.errors import printable
from fracbench.pictures import png
from fracbench.plan import CLEAN, Cell, Job
from fracbench.robust_scores import of_third_parties
from fracbench.robustness import RANDOM_PREDICTIONS
from fracbench.run_record import record_of
from fracbench.runner import Outcome
from fracbench.schema import ADAPTIVE, THIRD_PARTY
from fracbench.store import same_json
from fracbench.summary import summarise
from fracbench.tasks import Task

MOST = 20  # faults of one kind that are told
MORE = {
    "clean": ("random", "parameters"),
    "symptoms": ("symptoms",),
    "attack": ("parts",),
    "further": ("parts",),
    "corruption": ("parts",),
}
PICTURES, STRONGEST = ("radiograph", "mask", "perturbation", "attributions"), "strongest"
# of run.json, what this machine or this moment says; all else the benchmark or the submission does
OF_THE_RUN = (
    *("schema_version", "random", "environment", "device", "seconds", "passes", "identity", "evaluation"),
    *("taken_from", "finished", "cells"),
)


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
    """A sentence for each thing that cannot be: in records, fields, rows, ladders, pictures, and what others sent."""
    checks: list[Callable[[], Iterator[str]]] = [
        lambda: _of_records(task.job, planned, run),
        lambda: _of_fields(task, run, planned),
        lambda: false_rows(task.job, _supported(planned, run), tables),
        lambda: _of_tables(task, run, tables),
        lambda: _of_ladders(task.job, planned, tables["predictions"]) if task.job.rungs else iter(()),
        lambda: _of_third_parties(task, run, tables["predictions"]),
        lambda: _of_gallery(task.job, planned, tables["gallery"]),
    ]
    for check in checks:
        try:
            yield from map(printable, itertools.islice(check(), MOST))
        except Exception as error:  # whatever a stranger's files lead to
            yield printable(
                f"a file of the run is not one that `fracbench run` writes ({type(error).__name__}: {error})"
            )


def _supported(planned: Sequence[Cell], run: Mapping[str, Any]) -> list[Cell]:
    """The cells that have rows."""
    unsupported = {cell_of(record) for record in run["cells"] if record["status"] == "unsupported"}
    return [cell for cell in planned if cell not in unsupported]


def _of_records(job: Job, planned: Sequence[Cell], run: Mapping[str, Any]) -> Iterator[str]:
    """Each cell of the benchmark has one record, and no other has; none says more than a run writes, or took more."""
    records = Counter(map(cell_of, run["cells"]))
    for cell in planned:
        if records[cell] != 1:
            yield f"'{cell.label}' of batch {cell.batch} has {records[cell]} records, not one"
    for cell in records.keys() - set(planned):
        yield f"'{cell.label}' of batch {cell.batch} is no cell of this benchmark"
    predictions = RANDOM_PREDICTIONS if run["random"] else 1
    for record in run["cells"]:
        cell, name = cell_of(record), f"'{cell_of(record).label}' of batch {record['batch']}"
        may = ("done", "unsupported") if cell.kind in ("explain", "explanation") else ("done",)
        if record["status"] not in may:
            yield f"{name} is {record['status']}"
        extra = MORE.get(cell.kind, ())
        if set(record) - set(cell_record(cell, 0)) - {"micro_batch", *extra}:
            yield f"the record of {name} does not have the fields that a run writes"
        if records[cell] == 1 and cell in planned:
            most = job.passes(cell, predictions)
            if (
                record["images"] != len(job.batches[cell.batch])
                or record["forward"] > most[0]
                or record["backward"] > most[1]
            ):
                yield f"the images or passes of {name} are not those of the benchmark"


def _of_fields(task: Task, run: Mapping[str, Any], planned: Sequence[Cell]) -> Iterator[str]:
    """What ``run.json`` says of the benchmark and the submission is what they say."""
    cells = [{"kind": cell.kind, "attack": cell.attack} for cell in planned]
    fields, outcome = task.entry_fields, Outcome({}, cells, False, 0.0, {})
    written = record_of(fields, task.job, outcome, task.environment, "")
    for name in sorted(set(run) - set(written) - {"seal", "third_party"}):
        yield f"run.json has a field '{name:.80}' that no run writes"
    for name, value in written.items():
        if name not in OF_THE_RUN and not (name in run and same_json(run[name], value)):
            yield f"{name} of run.json is not this {'submission' if name in fields else 'benchmark'}'s"


def _of_ladders(job: Job, planned: Sequence[Cell], predictions: pd.DataFrame) -> Iterator[str]:
    """What breaks at a rung breaks at every larger one."""
    images = sorted(sample.id for batch in job.batches for sample in batch)
    on_ladder = predictions[predictions.ladder.astype(bool)]
    for name in dict.fromkeys(cell.attack for cell in planned if cell.kind == "ladder"):
        mine = on_ladder[on_ladder.attack == name]
        rungs = [mine[np.isclose(mine.epsilon, rung, rtol=1e-9, atol=0)] for rung in job.rungs]
        if not all(of.image.is_unique for of in rungs):
            continue  # said of the rows already
        correct = np.array(
            [of.set_index("image").correct.reindex(images, fill_value=False) for of in rungs], dtype=bool
        )
        if (correct[1:] & ~correct[:-1]).any():
            yield f"an image that breaks on the ladder of '{name}' is whole on a higher rung"


def _of_third_parties(task: Task, run: Mapping[str, Any], predictions: pd.DataFrame) -> Iterator[str]:
    """Images of third parties count where their files are kept, and those that are kept count, under the reference."""
    files, rows, threat = [], Counter[tuple[str, str]](), task.job.spec.threat.model
    for file, sent in third_party.received(task.folder.path / THIRD_PARTY, task.job):
        if isinstance(sent, third_party.Sent):  # what a run does not count either is left out
            files.append(sent.record(file))
            rows.update((sent.attack, image) for image in sent.ids)
    theirs = predictions[of_third_parties(predictions)]
    at_reference = (theirs.threat == threat.norm) & np.isclose(theirs.epsilon, threat.epsilon, rtol=1e-9, atol=0)
    plain = at_reference & (theirs.part == "") & ~(theirs.ladder | theirs.carried).astype(bool)
    there = Counter(zip(theirs.attack, theirs.image, strict=True))
    if there != rows or not plain.all() or not same_json(run.get("third_party", []), files):
        yield "the rows of third parties are not those of the files kept"


def _of_gallery(job: Job, planned: Sequence[Cell], gallery: pd.DataFrame) -> Iterator[str]:
    """The pictures are of the images that the benchmark shows, each there once; radiographs and masks are its own."""
    if gallery.empty and not job.gallery:
        return
    if not {*PICTURE, "label", "png"} <= set(gallery):
        yield "the gallery lacks a column"
        return
    labels = {sample.id: sample.label for samples in job.batches for sample in samples if sample.id in job.gallery}
    shown = set(zip(gallery.image, gallery.label, strict=True))
    if shown != set(labels.items()) or gallery.duplicated([name for name in PICTURE if name != "attack"]).any():
        yield "the gallery does not have the benchmark's images, each picture once"
        return
    attacks = {cell.attack for cell in planned if cell.kind == "attack"}
    whence = {(CLEAN, CLEAN), *((STRONGEST, attack) for attack in attacks)}
    by_image = gallery[gallery.condition == STRONGEST].groupby("image").attack.nunique()
    if not (
        set(gallery.kind) <= set(PICTURES)
        and set(zip(gallery.condition, gallery.attack, strict=True)) <= whence
        and (by_image <= 1).all()
    ):
        yield "the gallery has a kind of picture that no run makes"
        return
    kept = gallery[gallery.kind.isin(PICTURES[:2]) & (gallery.condition == CLEAN)].set_index(["image", "kind"]).png
    for samples in job.batches:
        here = [sample for sample in samples if sample.id in job.gallery]
        batch = load(job.dataset, here, job.spec.image_size) if here else None
        for i, sample in enumerate(here):
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
    try:
        recomputed = summarise(dict(run), dict(tables))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        yield f"no summary can be made of the tables ({type(error).__name__}: {error})"
        return
    if not same_json(recomputed, task.folder.summary()):
        yield "the summary does not follow from the tables"
