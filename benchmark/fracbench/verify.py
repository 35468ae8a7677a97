"""Computes a random sample of stored cells again, and compares; scores of attributions by Quantus too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pandas as pd

from fracbench import comparing, third_party
from fracbench.apart import PATIENCE, Tell
from fracbench.bench import Bench
from fracbench.cell_store import CellResult
from fracbench.cells import compute, patience, record_of
from fracbench.claims import cell_of, false_claims, planned_cells
from fracbench.comparing import Answers, Difference
from fracbench.errors import InputError
from fracbench.inside import BETWEEN_CELLS, prepared
from fracbench.plan import CLEAN, CRAFTED, Cell, Job
from fracbench.runner import check_networks, probe_random
from fracbench.schema import THIRD_PARTY
from fracbench.store import TABLES
from fracbench.tasks import Task

PREDICTING = ("clean", "attack", "ladder", "further", "corruption", "explanation")
EXPLAINING = ("explain",)
BUILT_ON_STORED = ("ladder", "symptoms")


@dataclass(frozen=True)
class Verdict:
    """What came of it: ``faults`` are sentences on what is not as it should be, beside the numbers."""

    cells: list[str]
    answers: list[Answers]
    scores: list[Difference]
    faults: list[str]

    @property
    def wrong(self) -> list[str]:
        """What differs, in words; nothing where all agrees."""
        answers = [f"the answers of '{of.cell}'" for of in self.answers if not of.agrees]
        return [*self.faults, *answers, *(of.metric for of in self.scores if not of.agrees)]


def verify(task: Task, run: Mapping[str, Any], cells: int, seed: int, tell: Tell) -> Verdict:
    """Compute ``cells`` random cells of a finished run again: half of them predict or attack, half explain.

    The cells are drawn from those of the benchmark, whatever the run says it did; a ladder and the symptoms of a batch
    are computed from what is stored of the attacks before them. What the run says of the benchmark and the submission,
    what the tables say of the images, that they hold every row, what others sent, and that the summary follows from
    all is looked at whole.
    """
    job, tables = task.job, {name: task.folder.table(name) for name in TABLES}
    try:
        planned, records = planned_cells(task, run), {cell_of(record): record for record in run["cells"]}
        same_machine, random = run["environment"] == dict(task.environment), run["random"]
    except (KeyError, TypeError, AttributeError) as error:
        place = task.folder.path / "run.json"
        raise InputError(f"{place}: is not what `fracbench run` writes ({type(error).__name__}: {error})") from None
    chosen = _chosen(planned, cells, seed)
    model = prepared(task)
    wavers, unfit = probe_random(model, job, task.device), check_networks(model, job, task.device)
    found = _Found(tables, records, same_machine)
    found.faults += false_claims(task, run, tables, planned)
    if random is not wavers:
        found.faults.append(f"random of run.json is {random}, and asked again the model says {wavers}")
    looked = [cell for cell in job.cells(chosen[0].batch) if cell.kind == "symptoms"] if chosen else []
    bench = Bench(job, model, -1, task.device, wavers, unfit)
    for cell in (*sorted(chosen, key=lambda cell: cell.batch), *looked):
        tell("note", f"again: {cell.label}, batch {cell.batch}")
        if bench.batch != cell.batch:
            bench = Bench(job, model, cell.batch, task.device, wavers, unfit)
        own = bench
        if cell.kind in BUILT_ON_STORED:
            own = replace(bench, results=_stored_before(job, cell, tables["predictions"]))
        for of in (*_before(job, cell), cell):
            if of in own.results:  # an attack whose images another explainer has been shown
                continue
            allowed = patience(own, of)
            tell(PATIENCE, allowed)
            own.results[of] = compute(own, of, allowed)
            if not found.look(own, of):
                break
    tell(PATIENCE, BETWEEN_CELLS)
    sent = [
        of for _, of in third_party.received(task.folder.path / THIRD_PARTY, job) if isinstance(of, third_party.Sent)
    ]
    rows = [third_party.verified(of, job, model, task.device, wavers) for of in sent]
    found.faults += comparing.of_third_party(rows, tables["predictions"], same_machine)
    return found.verdict(chosen)


def _chosen(planned: Sequence[Cell], cells: int, seed: int) -> list[Cell]:
    kinds = [[cell for cell in planned if cell.kind in of] for of in (PREDICTING, EXPLAINING)]
    halves, draw = (cells - cells // 2, cells // 2), Random(seed)
    return [cell for of, n in zip(kinds, halves, strict=True) for cell in draw.sample(of, min(n, len(of)))]


def _before(job: Job, cell: Cell) -> list[Cell]:
    """The cells whose images an explaining one is about."""
    if cell.kind not in EXPLAINING or cell.attack == CLEAN:
        return []
    attack, aimed = replace(cell, kind="attack", explainer=""), job.spec.explanation_attack
    if aimed and cell.attack == aimed.name:
        return [Cell("clean", cell.batch), replace(attack, kind="explanation")]
    return [attack]


def _stored_before(job: Job, cell: Cell, predictions: pd.DataFrame) -> dict[Cell, CellResult]:
    """What is stored of the cells that tell a ladder, or symptoms, what is broken already."""
    order = [*job.cells(cell.batch), *job.answering(cell.batch)]
    before = [of for of in order[: order.index(cell)] if of.kind in ("clean", *CRAFTED)]
    rows = {of: comparing.stored_rows(job, of, predictions) for of in before}
    return {of: CellResult(record_of(of, len(table)), {"predictions": table}) for of, table in rows.items()}


@dataclass
class _Found:
    """What was found so far, beside what is stored."""

    tables: Mapping[str, pd.DataFrame]
    records: Mapping[Cell, Mapping[str, Any]]
    same_machine: bool
    answers: list[Answers] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def look(self, bench: Bench, cell: Cell) -> bool:
        """Compare a cell that was computed again; False where there is nothing to compare, nor to build on."""
        result, record = bench.results[cell], self.records.get(cell, {})
        told, tables, same = record.get("status"), self.tables, self.same_machine
        if result.status == told == "unsupported":
            return False
        if result.status == "done" and told == "unsupported":
            self.faults.append(f"'{cell.label}' of batch {cell.batch} is unsupported in run.json, and can be computed")
            return False
        if result.status != "done":
            error = result.record["error"]
            self.faults.append(f"'{cell.label}' of batch {cell.batch} cannot be computed now: {error}")
            return False
        if cell.kind == "symptoms":
            if "symptoms" in record:
                self.faults += comparing.of_symptoms(cell, result.record["symptoms"], record["symptoms"], same)
        elif cell.kind in PREDICTING:
            before = comparing.stored_rows(bench.job, cell, tables["predictions"])
            now = comparing.rows_now(bench.job, cell, result, tables["predictions"])
            self.answers.append(comparing.answers(cell, now, before, tables["images"]))
            self.faults += comparing.of_images(cell, result.tables.get("images"), tables["images"])
            self.faults += comparing.of_distances(cell, now, before, same)
            if cell.kind == "clean" and not bench.random:
                self.faults += comparing.of_margins(cell, now, before, same)
            elif not bench.random:
                self.faults += comparing.of_attacked_margins(cell, now, before, same)
        elif result.tables:  # an attack on the explanation that changed every answer leaves nothing to explain
            self.faults += comparing.of_images(cell, result.tables.get("references"), tables["images"])
            self.faults += comparing.of_grids(cell, result, tables["alignment"])
            self.scores += comparing.scores(bench, cell, result, tables["alignment"])
        self.faults += comparing.of_pictures(cell, result.tables.get("gallery"), tables["gallery"], same)
        return True

    def verdict(self, chosen: Sequence[Cell]) -> Verdict:
        """All of it, each score over all maps."""
        if not (self.answers or self.scores or self.faults):
            self.faults.append("no cell was computed again")
        found = pd.DataFrame(self.scores)
        by_metric = found.groupby("metric", sort=False) if len(found) else ()
        differences = [comparing.difference(str(metric), of, self.same_machine) for metric, of in by_metric]
        faults = list(dict.fromkeys(self.faults))
        return Verdict([f"{cell.label}, batch {cell.batch}" for cell in chosen], self.answers, differences, faults)
