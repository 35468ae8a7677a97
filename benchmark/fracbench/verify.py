"""Computes a random sample of stored scores again, by fracbench and by Quantus, and compares the three."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fracbench import alignment
from fracbench.cells import Bench
from fracbench.models import undisturbed
from fracbench.plan import CLEAN, Cell
from fracbench.progress import Progress
from fracbench.tasks import Task, finished_run

SAME = 1e-5  # of two ways to score maps without ties, and of two runs on one machine


@dataclass(frozen=True)
class Difference:
    """Largest differences of one metric over a sample: from what is stored, and from Quantus with and without ties."""

    metric: str
    maps: int
    stored: float
    tie_free: int
    quantus: float
    tied: int
    quantus_tied: float

    @property
    def agrees(self) -> bool:
        return not self.stored > SAME and not self.quantus > SAME


def verify(task: Task, cells: int, seed: int, progress: Progress) -> list[Difference]:
    """Differences by metric, over ``cells`` random pairs of a logical batch and an explainer, on clean images.

    Raises ``InputError`` where there is no finished run of these weights under this spec.
    """
    run = finished_run(task)
    stored = task.folder.table("alignment")
    stored = stored[stored.attack == CLEAN].set_index(["image", "explainer"])
    done = [c for c in run["cells"] if c["kind"] == "explain" and c["attack"] == CLEAN and c["status"] == "done"]
    chosen = random.Random(seed).sample(done, min(cells, len(done)))
    rows = []
    for record in chosen:
        cell = Cell("explain", record["batch"], CLEAN, "", record["explainer"])
        progress.note(f"again: {cell.label}, batch {cell.batch}")
        rows += list(_compared(task, cell, run["random"], stored))
    return [_difference(str(metric), of) for metric, of in pd.DataFrame(rows).groupby("metric", sort=False)]


def _compared(task: Task, cell: Cell, random_model: bool, stored: pd.DataFrame) -> Iterator[dict[str, object]]:
    model = task.model()
    bench = Bench(task.job, model, cell.batch, task.device, random_model)
    with undisturbed(model):
        which, explained = bench.explained_maps(cell)
    marked = bench.data.masks[which.to(task.device)].flatten(1).any(1)
    maps, kept = explained.maps[marked], which.to(task.device)[marked]
    masks, valid = bench.data.masks[kept], bench.data.valid[kept]
    ours, theirs = (
        alignment.score(maps, masks, task.job.spec.metrics, valid, backend=by) for by in ("fracbench", "quantus")
    )
    tied = [_has_ties(of[inside]) for of, inside in zip(maps, valid, strict=True)]
    for name in task.job.spec.metrics:
        for row, i in enumerate(kept.tolist()):
            yield {
                "metric": name, "tied": tied[row], "ours": float(ours[name][row]), "quantus": float(theirs[name][row]),
                "stored": float(stored.loc[(bench.ids[i], cell.explainer), name]),
            }  # fmt: skip


def _has_ties(values: torch.Tensor) -> bool:
    return len(values.unique()) < values.numel()


def _difference(metric: str, rows: pd.DataFrame) -> Difference:
    def largest(of: pd.DataFrame, other: str) -> float:
        return float((of.ours - of[other]).abs().max()) if len(of) else np.nan

    free, tied = rows[~rows.tied], rows[rows.tied]
    apart = largest(free, "quantus"), largest(tied, "quantus")
    return Difference(metric, len(rows), largest(rows, "stored"), len(free), apart[0], len(tied), apart[1])
