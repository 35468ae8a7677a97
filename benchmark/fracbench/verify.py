"""Computes a random sample of stored cells again, and compares; scores of attributions by Quantus too."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fracbench import alignment, checks
from fracbench.apart import PATIENCE, Tell
from fracbench.bench import Bench
from fracbench.cells import compute, patience
from fracbench.claims import cell_of, false_claims, planned_cells
from fracbench.explained_cells import to_explain
from fracbench.flags import shown_by
from fracbench.inside import prepared
from fracbench.plan import CLEAN, Cell, Job
from fracbench.runner import check_networks, probe_random
from fracbench.schema import (
    FAITHFULNESS,
    INSTANCES,
    SPREAD,
    STABILITY,
    Backend,
)
from fracbench.store import TABLES, CellResult
from fracbench.tasks import Task

SAME = 1e-5  # of two ways to score maps without ties, and of two runs on one machine
NEAR = 1e-4  # a margin this near to zero may be on either side of it on another machine
POINTS = 0.02  # by which a recrafted accuracy, or a mean score on another machine, may differ
FAR, FEW = 0.05, 0.05  # a score that changed by more is another; of so many maps, on another machine
SPREADS = 1e-3  # of the margins' spread, by which they may differ on another machine
BACKENDS: tuple[Backend, ...] = ("fracbench", "quantus")
PREDICTING, EXPLAINING = ("clean", "attack", "further", "corruption"), ("explain",)
ROW = ["image", "threat", "epsilon", "attack", "part"]
COLUMNS = ("hit", "blank", *INSTANCES, *SPREAD)  # of scores, beside the spec's metrics
AT_TIMES = (*STABILITY, *FAITHFULNESS)  # scores that only some maps have


@dataclass(frozen=True)
class Answers:
    """A cell whose predictions were made again: on how many images the answer is another, and what comes of it.

    ``differ`` leaves out margins within 1e-4 of zero; ``accuracy`` is the largest change of accuracy of the attack, its
    parts and the worst case of all; ``beyond`` is by how many images more differ than may, in either class of any.
    """

    cell: str
    images: int
    differ: int
    accuracy: float
    beyond: int
    crafted: bool

    @property
    def agrees(self) -> bool:
        """What is crafted anew may take another way; what is predicted anew may not."""
        few = self.accuracy <= max(POINTS, 1 / max(1, self.images)) and self.beyond <= 0
        return few if self.crafted else self.differ == 0


@dataclass(frozen=True)
class Difference:
    """Largest differences of one score over ``maps`` of a sample.

    ``stored``: from what is stored; ``quantus``: from Quantus on the same maps with their ties broken at random, where
    both must agree; ``as_is``: from Quantus on the maps as they are, where its order of pixels decides between ties.
    The last two are NaN where Quantus has no such score. ``mean``: of the means, now and stored. ``far``: on how many
    maps it is another score, by more than 0.05.
    """

    metric: str
    maps: int
    stored: float
    quantus: float
    as_is: float
    mean: float
    far: int
    same_machine: bool

    @property
    def agrees(self) -> bool:
        alike = self.mean <= POINTS and self.far <= max(1, FEW * self.maps)
        close = self.stored <= SAME if self.same_machine else alike
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

    The cells are drawn from those of the benchmark, whatever the run says it did. What the run says of the benchmark
    and the submission, what the tables say of the images, that they hold every row, and that the summary follows from
    them is looked at whole. Ladders, which repeat attacks on other rungs, and attacks on explanations are not computed
    again.
    """
    tables = {name: task.folder.table(name) for name in TABLES}
    planned = planned_cells(task, run)
    chosen = _chosen(task.job, planned, cells, seed)
    model, same_machine = prepared(task), run["environment"] == dict(task.environment)
    wavers, unfit = probe_random(model, task.job, task.device), check_networks(model, task.job, task.device)
    records = {cell_of(record): record for record in run["cells"]}
    faults = list(false_claims(task, run, tables, planned))
    if run["random"] != wavers:
        faults.append(f"random of run.json is {run['random']}, and asked again the model says {wavers}")
    answers: list[Answers] = []
    scores: list[dict[str, Any]] = []
    for cell in chosen:
        tell("note", f"again: {cell.label}, batch {cell.batch}")
        bench = Bench(task.job, model, cell.batch, task.device, wavers, unfit)
        for of in _with_needed(cell):
            allowed = patience(bench, of)
            tell(PATIENCE, allowed)
            result = bench.results[of] = compute(bench, of, allowed)
            told = records.get(of, {}).get("status")
            if result.status == told == "unsupported":
                break
            if result.status == "done" and told == "unsupported":
                faults.append(f"'{of.label}' of batch {of.batch} is unsupported in run.json, and can be computed")
                break
            if result.status != "done":
                faults.append(f"'{of.label}' of batch {of.batch} cannot be computed now: {result.record['error']}")
                break
            if of.kind in PREDICTING:
                answers.append(_answers(of, result, tables["predictions"], tables["images"]))
                faults += _of_images(of, result.tables.get("images"), tables["images"])
                if of.kind == CLEAN and not wavers:
                    faults += _of_margins(of, result, tables["predictions"], same_machine)
            else:
                faults += _of_images(of, result.tables.get("references"), tables["images"])
                scores += _scores(bench, of, result, tables["alignment"])
    if chosen:
        faults += _of_symptoms(Bench(task.job, model, chosen[0].batch, task.device, wavers), records, same_machine)
    if not (answers or scores or faults):
        faults.append("no cell was computed again")
    found = pd.DataFrame(scores)
    by_metric = found.groupby("metric", sort=False) if len(found) else ()
    differences = [_difference(str(metric), of, same_machine) for metric, of in by_metric]
    return Verdict([f"{cell.label}, batch {cell.batch}" for cell in chosen], answers, differences, faults)


def _chosen(job: Job, planned: Sequence[Cell], cells: int, seed: int) -> list[Cell]:
    aimed = job.spec.explanation_attack
    kinds = [[cell for cell in planned if cell.kind in of] for of in (PREDICTING, EXPLAINING)]
    kinds[1] = [cell for cell in kinds[1] if not (aimed and cell.attack == aimed.name)]
    halves, draw = (cells - cells // 2, cells // 2), random.Random(seed)
    return [cell for of, n in zip(kinds, halves, strict=True) for cell in draw.sample(of, min(n, len(of)))]


def _with_needed(cell: Cell) -> list[Cell]:
    """The cell after the attack whose images it explains."""
    if cell.kind in EXPLAINING and cell.attack != CLEAN:
        return [replace(cell, kind="attack", explainer=""), cell]
    return [cell]


def _of_images(cell: Cell, now: pd.DataFrame | None, images: pd.DataFrame) -> Iterator[str]:
    """What scores are read against, the same for every model, is what is stored."""
    if now is None:
        return
    now = now.set_index("image").select_dtypes("number")
    before = images.drop_duplicates("image").set_index("image").reindex(index=now.index, columns=now.columns)
    for name in now:
        if not np.allclose(now[name], before[name].astype(float), rtol=0, atol=SPREADS, equal_nan=True):
            yield f"{name} of the images of batch {cell.batch} is not the benchmark's"


def _of_margins(cell: Cell, result: CellResult, stored: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """On clean images the margins and gradients are those that are stored."""
    now = result.tables["predictions"].set_index("image")
    before = stored[stored.attack == CLEAN].drop_duplicates("image").set_index("image").reindex(now.index)
    may = (SAME if same_machine else SPREADS) * float(now.fracture_margin.std(ddof=0) + now.margin.abs().mean())
    for name in ("margin", "fracture_margin"):
        if not ((now[name] - before[name].astype(float)).abs() <= may).all():
            yield f"the {name} of clean images, batch {cell.batch}"
    others = int((now.zero_gradient.astype(bool) != before.zero_gradient.fillna(False).astype(bool)).sum())
    if others > (0 if same_machine else max(1, POINTS * len(now))):
        yield f"zero_gradient of clean images, batch {cell.batch}"


def _of_symptoms(bench: Bench, records: Mapping[Cell, Mapping[str, Any]], same_machine: bool) -> Iterator[str]:
    """The symptoms of one batch, but for what outlives an attack, are those that are recorded."""
    (cell,) = (cell for cell in bench.job.cells(bench.batch) if cell.kind == "symptoms")
    before = records.get(cell, {}).get("symptoms")
    if before is None:
        return
    images, labels = bench.data.images[: checks.IMAGES], bench.data.labels[: checks.IMAGES]
    now = checks.symptoms(bench.model, images, labels, bench.predictions)
    told, said = shown_by([before], before.get("survivors", ())), shown_by([now])
    others = [name for name in ("images", *(("jumps", "crossed") if same_machine else ())) if before[name] != now[name]]
    yield from (
        f"the symptoms of batch {bench.batch}: {name}" for name in sorted({*others, *(told.keys() ^ said.keys())})
    )


def _answers(cell: Cell, result: CellResult, stored: pd.DataFrame, images: pd.DataFrame) -> Answers:
    now = result.tables["predictions"]
    before = stored[(stored.attack == cell.attack) & ~stored.ladder.astype(bool)]
    both = now.merge(before, on=ROW, how="left", suffixes=("", "_stored"))
    then = both.correct_stored.where(both.correct_stored.notna(), ~both.correct.astype(bool)).astype(bool)
    near = both.margin.abs() < NEAR  # by what is stored, anybody's could be made to look near
    labels = both.image.map(images.drop_duplicates("image").set_index("image").label).fillna(-1)
    rows = pd.DataFrame({"image": both.image, "part": both.part, "label": labels, "now": both.correct.astype(bool),
                         "then": then, "counts": ~near})  # fmt: skip
    worst = rows.groupby(["image", "label"], as_index=False)[["now", "then", "counts"]].all().assign(part="worst case")
    every = pd.concat([rows, worst], ignore_index=True)
    every["differ"] = (every.now != every.then) & every.counts
    changes = (every.now.astype(float) - every.then.astype(float)).groupby(every.part).mean().abs()
    by_class = every.groupby(["part", "label"]).differ.agg(["sum", "size"])
    beyond = (by_class["sum"] - (POINTS * by_class["size"]).clip(lower=1)).max()
    whole = every[every.part == ""]
    crafted = cell.kind != CLEAN
    return Answers(cell.label, len(whole), int(whole.differ.sum()), float(changes.max()), int(np.ceil(beyond)), crafted)


def _scores(bench: Bench, cell: Cell, result: CellResult, stored: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each annotated image and score: now, stored, and where Quantus has it what Quantus says."""
    now = result.tables["alignment"].set_index("image")
    before = stored[(stored.attack == cell.attack) & (stored.explainer == cell.explainer)].set_index("image")
    quantus = _by_quantus(bench, cell)
    marked = bench.data.masks.flatten(1).any(1).tolist()
    for name in [image for image, has_mask in zip(bench.ids, marked, strict=True) if has_mask and image in now.index]:
        for column in (*bench.job.spec.metrics, *COLUMNS, *AT_TIMES):
            theirs = quantus.get((name, column), {"untied": np.nan, "as_is": np.nan})
            then = before[column].get(name, np.nan) if column in before else np.nan
            if column in AT_TIMES and np.isnan(now[column][name]) and np.isnan(then):
                continue
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
    far = int((apart > FAR).sum())
    return Difference(metric, len(rows), float(apart.max()), untied, as_is, mean, far, same_machine)
