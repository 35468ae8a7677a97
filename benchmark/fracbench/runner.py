"""Runs a plan: every model x attack x explainer, one finished cell at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fracbench.alignment import check_network
from fracbench.alignment_scores import blank_maps
from fracbench.bench import Bench, EarlierFault
from fracbench.cell_store import CellResult
from fracbench.cells import compute, patience
from fracbench.cells import record_of as cell_record
from fracbench.data import load
from fracbench.environment import hand_back_freed_memory
from fracbench.flags import flags_of, unanswered
from fracbench.identity import PROBED, named
from fracbench.joining import joined_tables
from fracbench.models import Guarded, smaller
from fracbench.plan import CLEAN, Cell, Job
from fracbench.progress import Progress, Silent
from fracbench.robust_scores import under
from fracbench.robustness import is_random
from fracbench.schema import ADAPTIVE
from fracbench.store import ResultFolder
from fracbench.tensors import Images
from fracbench.undisturbed import undisturbed


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
class Collected:
    """Records, and tables by name, of cells in the order of a plan."""

    tables: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    records: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, results: Mapping[Cell, CellResult], plan: Iterable[Sequence[Cell]]) -> Collected:
        collected = cls()
        for cells in plan:
            for cell in cells:
                collected.add(results[cell])
        return collected

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
    seconds: float | None = None,
    watched: bool = False,
    lost: Mapping[Cell, str] | None = None,
) -> Outcome:
    """Compute or read back every cell. Finished cells go to ``folder`` as soon as they are there.

    A cell may take ``seconds``, or many times what its passes should take; who is ``watched`` is ended from without by
    then. Cells ``lost`` before, each with the reason, have failed and are not tried again.
    """
    progress, lost = progress or Silent(), lost or {}
    random = probe_random(model, job, device) or _was_random(job, folder, identity or {})
    collected = Collected()
    unfit = check_networks(model, job, device)
    benches = [Bench(job, model, batch, device, random, unfit) for batch in range(len(job.batches))]

    def run(cells: Sequence[Cell]) -> None:
        """Cells of one logical batch, whose images are let go afterwards."""
        bench = benches[cells[0].batch]
        kind = cells[0].kind
        for cell in cells:
            if cell.kind != kind:  # attacks, symptoms and explanations take memory in other shapes
                hand_back_freed_memory()
            kind = cell.kind
            name = named(job, cell, identity or {})
            result = folder.cells.read(name) if folder else None
            progress.cell(cell.label, sum(job.passes(cell)), cached=result is not None)
            if result is not None:
                model.fits(result.record)
            elif cell in lost:
                result = CellResult(cell_record(cell, len(bench.ids), lost[cell]))
            else:
                allowed = seconds or patience(bench, cell)
                progress.begins(cell, allowed)
                result = compute(bench, cell, math.inf if watched else allowed)
                if folder and result.status != "failed":
                    folder.cells.write(name, result)
            bench.results[cell] = result
            collected.add(result)
            told(job, cell, result, progress)
        bench.release()
        hand_back_freed_memory()

    with undisturbed(model):  # so that its weights are copied once
        for batch in range(len(job.batches)):
            run(job.cells(batch))
        asking = asking_of(collected, job, random, progress)
        if asking:
            for batch in range(len(job.batches)):
                run(job.answering(batch))
    outcome = outcome_of(collected, job, [*job.attacks, *([ADAPTIVE] if asking else [])], random)
    tell_blank(outcome.tables, progress)
    return outcome


def _was_random(job: Job, folder: ResultFolder | None, identity: Mapping[str, Any]) -> bool:
    """Whether an earlier process that computed some of these cells saw other answers to the same images."""
    if folder is None:
        return False
    found = [folder.cells.read(named(job, Cell("clean", batch), identity)) for batch in range(len(job.batches))]
    return any(of.record.get("random", False) for of in found if of is not None)


def told(job: Job, cell: Cell, result: CellResult, progress: Progress) -> None:
    """Tell of a cell that is not as it should be."""
    if result.status == "failed" and not result.record["error"].startswith(EarlierFault.__name__):
        progress.note(f"failed: {cell.label}: {result.record['error']}")
    elif result.status == "unsupported" and (cell.batch, cell.attack) == (0, CLEAN):
        effect = "the row is not ranked" if cell.explainer in job.spec.panel else "not in the headline"
        progress.note(f"unsupported ({effect}): {cell.explainer}: {result.record['error']}")


def asking_of(collected: Collected, job: Job, random: bool, progress: Progress) -> list[str]:
    """The flags that only the adaptive attack can answer; its cells are added to what is to be done."""
    asking = unanswered(_flags(collected, job, random)) if job.adaptive else []
    if asking:
        more = [cell for batch in range(len(job.batches)) for cell in job.answering(batch)]
        progress.more(len(more), sum(sum(job.passes(cell)) for cell in more))
        progress.note(f"flagged ({', '.join(asking)}): the adaptive attack answers")
    return asking


def tell_blank(tables: Mapping[str, pd.DataFrame], progress: Progress) -> None:
    """Tell which explainers gave maps of nothing, and how many."""
    images, explained = tables["images"], tables["alignment"]
    fractured = images[(images.label == 1) & images.annotated].image
    for name, by_attack in blank_maps(explained[explained.image.isin(fractured)]).items():
        counts = [f"{of['blank']} of {of['n']} on {attack}" for attack, of in by_attack.items() if of["blank"]]
        if counts:
            progress.note(f"blank maps, which score 0: {name}: {', '.join(counts)}")


def read_back(
    job: Job, folder: ResultFolder, identity: Mapping[str, Any], lost: Mapping[Cell, str], reason: str, answering: bool
) -> Outcome:
    """What is finished of a model that is not evaluated further; all else has failed, for the ``reason`` given.

    ``answering``: whether a flag had asked for the adaptive attack. The last cell has failed whatever was finished: the
    model never came to an end.
    """
    collected = Collected()
    batches = range(len(job.batches))
    cells = [cell for batch in batches for cell in job.cells(batch)]
    cells += [cell for batch in batches for cell in job.answering(batch)] if answering else []
    for cell in cells:
        failed = CellResult(cell_record(cell, len(job.batches[cell.batch]), lost.get(cell, reason)))
        finished = None if cell == cells[-1] else folder.cells.read(named(job, cell, identity))
        collected.add(finished or failed)
    return outcome_of(collected, job, [*job.attacks, *([ADAPTIVE] if answering else [])], random=False)


def outcome_of(collected: Collected, job: Job, attacks: Sequence[str], random: bool) -> Outcome:
    """What came of all cells; ``attacks`` in spec order are those of the reference threat that ran."""
    return Outcome(
        joined_tables(collected.tables, job, attacks),
        collected.records,
        random,
        sum(record["seconds"] for record in collected.records),
        {way: sum(record[way] for record in collected.records) for way in ("forward", "backward")},
    )


def _flags(collected: Collected, job: Job, random: bool) -> list[dict[str, Any]]:
    predictions = joined_tables(collected.tables, job, list(job.attacks))["predictions"]
    clean = predictions[predictions.attack == CLEAN].set_index("image")
    attacked = under(predictions, job.spec.threat.norm, job.spec.threat.model.epsilon)
    symptoms = [cell["symptoms"] for cell in collected.records if "symptoms" in cell]
    return flags_of(clean, attacked, random=random, black_box=job.black_box, symptoms=symptoms)


def probe_random(model: Guarded, job: Job, device: str) -> bool:
    """Whether the first images get other answers when asked again; what raises here fails its cells later."""
    with _uncounted(model):
        while True:
            try:
                with undisturbed(model):
                    return is_random(model, _first_images(job, device))
            except Exception as error:
                if not smaller(model, error):
                    return False


def check_networks(model: Guarded, job: Job, device: str, names: Collection[str] | None = None) -> dict[str, Exception]:
    """What the explainers that check a network have against this one, by explainer; of all, or of those named."""
    found: dict[str, Exception] = {}
    asked = {name: of for name, of in job.explainers.items() if names is None or name in names}
    checking = {name: of for name, of in asked.items() if hasattr(of, "check_network")}
    with _uncounted(model):
        for name, explainer in checking.items():
            while True:
                try:
                    check_network(explainer, model, _first_images(job, device))
                except Exception as error:
                    if smaller(model, error):
                        continue
                    found[name] = error
                break
    return found


def _first_images(job: Job, device: str) -> Images:
    return load(job.dataset, job.batches[0][:PROBED], job.spec.image_size).images.to(device)


@contextmanager
def _uncounted(model: Guarded) -> Iterator[None]:
    """The passes inside are no part of any cell."""
    before = model.passes.copy()
    try:
        yield
    finally:
        model.passes = before
