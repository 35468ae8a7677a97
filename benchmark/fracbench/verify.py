"""Computes a random sample of stored cells again, and compares; scores of attributions by Quantus too."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fracbench import alignment
from fracbench.apart import PATIENCE, Tell
from fracbench.bench import Bench
from fracbench.cells import compute, patience
from fracbench.explained_cells import to_explain
from fracbench.inside import prepared
from fracbench.plan import CLEAN, Cell, Job
from fracbench.schema import INSTANCES, SPREAD, Backend
from fracbench.store import TABLES, CellResult, same_json
from fracbench.summary import summarise
from fracbench.tasks import Task

SAME = 1e-5  # of two ways to score maps without ties, and of two runs on one machine
NEAR = 1e-4  # a margin this near to zero may be on either side of it on another machine
POINTS = 0.02  # by which a recrafted accuracy, or a mean score on another machine, may differ
BACKENDS: tuple[Backend, ...] = ("fracbench", "quantus")
PREDICTING, EXPLAINING = ("clean", "attack", "further", "corruption"), ("explain",)
ROW = ["image", "threat", "epsilon", "attack", "part"]
COLUMNS = ("hit", *INSTANCES, *SPREAD)  # of scores, beside the spec's metrics


@dataclass(frozen=True)
class Answers:
    """A cell whose predictions were made again: on how many images the answer is another, and what comes of it.

    ``differ`` leaves out margins within 1e-4 of zero; ``accuracy`` is the largest change of accuracy of the attack and
    its parts.
    """

    cell: str
    images: int
    differ: int
    accuracy: float
    crafted: bool

    @property
    def agrees(self) -> bool:
        """What is crafted anew may take another way; what is predicted anew may not."""
        return self.accuracy <= max(POINTS, 1 / max(1, self.images)) if self.crafted else self.differ == 0


@dataclass(frozen=True)
class Difference:
    """Largest differences of one score over ``maps`` of a sample.

    ``stored``: from what is stored; ``quantus``: from Quantus on the same maps with their ties broken at random, where
    both must agree; ``as_is``: from Quantus on the maps as they are, where its order of pixels decides between ties.
    The last two are NaN where Quantus has no such score. ``mean``: of the means, now and stored.
    """

    metric: str
    maps: int
    stored: float
    quantus: float
    as_is: float
    mean: float
    same_machine: bool

    @property
    def agrees(self) -> bool:
        close = self.stored <= SAME if self.same_machine else self.mean <= POINTS
        return self.maps > 0 and close and not self.quantus > SAME


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

    What the tables say of the images, that they hold every row, and that the summary follows from them is looked at
    whole. Ladders, which repeat attacks on other rungs, and attacks on explanations are not computed again.
    """
    tables = {name: task.folder.table(name) for name in TABLES}
    chosen = _chosen(task.job, run, cells, seed)
    model, same_machine = prepared(task), run["environment"] == dict(task.environment)
    faults = list(_of_tables(task, run, tables))
    answers: list[Answers] = []
    scores: list[dict[str, Any]] = []
    for cell in chosen:
        tell("note", f"again: {cell.label}, batch {cell.batch}")
        bench = Bench(task.job, model, cell.batch, task.device, run["random"])
        for of in _with_needed(cell):
            allowed = patience(bench, of)
            tell(PATIENCE, allowed)
            result = bench.results[of] = compute(bench, of, allowed)
            if result.status != "done":
                faults.append(f"'{of.label}' of batch {of.batch} cannot be computed now: {result.record['error']}")
                break
            if of.kind in PREDICTING:
                answers.append(_answers(of, result, tables["predictions"]))
            else:
                scores += _scores(bench, of, result, tables["alignment"])
    found = pd.DataFrame(scores)
    by_metric = found.groupby("metric", sort=False) if len(found) else ()
    differences = [_difference(str(metric), of, same_machine) for metric, of in by_metric]
    return Verdict([f"{cell.label}, batch {cell.batch}" for cell in chosen], answers, differences, faults)


def _chosen(job: Job, run: Mapping[str, Any], cells: int, seed: int) -> list[Cell]:
    done = [record for record in run["cells"] if record["status"] == "done"]
    aimed = job.spec.explanation_attack
    kinds = [[_cell(record) for record in done if record["kind"] in of] for of in (PREDICTING, EXPLAINING)]
    kinds[1] = [cell for cell in kinds[1] if not (aimed and cell.attack == aimed.name)]
    halves, draw = (cells - cells // 2, cells // 2), random.Random(seed)
    return [cell for of, n in zip(kinds, halves, strict=True) for cell in draw.sample(of, min(n, len(of)))]


def _cell(record: Mapping[str, Any]) -> Cell:
    return Cell(*(record[name] for name in ("kind", "batch", "attack", "epsilon", "explainer", "norm")))


def _with_needed(cell: Cell) -> list[Cell]:
    """The cell after the attack whose images it explains."""
    if cell.kind in EXPLAINING and cell.attack != CLEAN:
        return [replace(cell, kind="attack", explainer=""), cell]
    return [cell]


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
    failed = {cell["explainer"] for cell in run["cells"] if cell["status"] != "done"}
    for name in set(job.explainers) - failed:
        if sorted(explained[(explained.attack == CLEAN) & (explained.explainer == name)].image) != sorted(samples):
            yield f"'{name}' on clean does not have one row for each image"


def _answers(cell: Cell, result: CellResult, stored: pd.DataFrame) -> Answers:
    now = result.tables["predictions"]
    before = stored[(stored.attack == cell.attack) & ~stored.ladder.astype(bool)]
    both = now.merge(before, on=ROW, how="left", suffixes=("", "_stored"))
    then = both.correct_stored.where(both.correct_stored.notna(), ~both.correct.astype(bool)).astype(bool)
    near = np.minimum(both.margin.abs(), both.margin_stored.abs().fillna(np.inf)) < NEAR
    differ = (then != both.correct.astype(bool)) & ~near
    changes = (both.correct.astype(float) - then.astype(float)).groupby(both.part).mean().abs()
    whole = both.part == ""
    return Answers(cell.label, int(whole.sum()), int(differ[whole].sum()), float(changes.max()), cell.kind != CLEAN)


def _scores(bench: Bench, cell: Cell, result: CellResult, stored: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each annotated image and score: now, stored, and where Quantus has it what Quantus says."""
    now = result.tables["alignment"].set_index("image")
    before = stored[(stored.attack == cell.attack) & (stored.explainer == cell.explainer)].set_index("image")
    quantus = _by_quantus(bench, cell)
    marked = bench.data.masks.flatten(1).any(1).tolist()
    for name in [image for image, has_mask in zip(bench.ids, marked, strict=True) if has_mask and image in now.index]:
        for column in (*bench.job.spec.metrics, *COLUMNS):
            theirs = quantus.get((name, column), {"untied": np.nan, "as_is": np.nan})
            then = before[column].get(name, np.nan) if column in before else np.nan
            yield {"metric": column, "ours": float(now[column][name]), "stored": float(then), **theirs}


def _by_quantus(bench: Bench, cell: Cell) -> dict[tuple[str, str], dict[str, float]]:
    """By image and metric, for those that Quantus has."""
    images, which = to_explain(bench, cell)
    maps = bench.explanations.maps(cell, images, which).maps
    masks, valid = bench.data.masks[which.to(maps.device)], bench.data.valid[which.to(maps.device)]
    kept = masks.flatten(1).any(1)
    maps, masks, valid = maps[kept], masks[kept], valid[kept]
    known = alignment.metrics_of(bench.job.spec.metrics)
    metrics = [name for name, metric in known.items() if hasattr(metric, "reference")]
    given, generator = (masks, metrics, valid), torch.Generator().manual_seed(cell.batch)
    ours, theirs = (alignment.score(maps, *given, backend=by) for by in BACKENDS)
    untied = torch.stack([_untied(of, generator) for of in maps]) if len(maps) else maps
    mine, reference = (alignment.score(untied * valid, *given, backend=by) for by in BACKENDS)
    ids = [bench.ids[i] for i in which[kept.to(which.device)].tolist()]
    return {
        (image, name): {
            "untied": float(mine[name][row] - reference[name][row]),
            "as_is": float(ours[name][row] - theirs[name][row]),
        }
        for name in metrics
        for row, image in enumerate(ids)
    }


def _untied(values: Tensor, generator: torch.Generator) -> Tensor:
    """The places of the pixels from the lowest up, over their number: the same order, ties broken at random."""
    flat = values.flatten().cpu().double()
    tossed = torch.randperm(len(flat), generator=generator)
    order = tossed[flat[tossed].argsort(stable=True)]
    places = torch.empty(len(flat), dtype=torch.float32)
    places[order] = torch.arange(1.0, len(flat) + 1) / len(flat)
    return places.view(values.shape).to(values.device)


def _difference(metric: str, rows: pd.DataFrame, same_machine: bool) -> Difference:
    neither = rows.ours.isna() & rows.stored.isna()
    # what is not a number on one side alone differs without bound
    apart = (rows.ours - rows.stored).abs().where(~neither, 0).fillna(np.inf)
    mean = abs(float(rows.ours.fillna(0).mean() - rows.stored.fillna(0).mean())) if np.isfinite(apart).all() else np.inf
    untied, as_is = (float(rows[name].abs().max()) for name in ("untied", "as_is"))
    return Difference(metric, len(rows), float(apart.max()), untied, as_is, mean, same_machine)
