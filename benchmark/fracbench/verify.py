"""Computes a random sample of stored scores again, by fracbench and by Quantus, and compares the three."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fracbench import alignment
from fracbench.bench import Bench
from fracbench.errors import InputError
from fracbench.explained_cells import to_explain
from fracbench.plan import CLEAN, Cell
from fracbench.progress import Progress
from fracbench.schema import Backend
from fracbench.tasks import Task, finished_run

SAME = 1e-5  # of two ways to score maps without ties, and of two runs on one machine
BACKENDS: tuple[Backend, ...] = ("fracbench", "quantus")


@dataclass(frozen=True)
class Difference:
    """Largest differences of one metric over ``maps`` of a sample.

    ``stored``: from what is stored; ``quantus``: from Quantus on the same maps with their ties broken at random, where
    both must agree; ``as_is``: from Quantus on the maps as they are, where its order of pixels decides between ties.
    """

    metric: str
    maps: int
    stored: float
    quantus: float
    as_is: float

    @property
    def agrees(self) -> bool:
        return self.maps > 0 and self.stored <= SAME and self.quantus <= SAME


def verify(task: Task, cells: int, seed: int, progress: Progress) -> list[Difference]:
    """Differences by metric, over ``cells`` random pairs of a logical batch and an explainer, on clean images.

    Raises ``InputError`` where there is no finished run of these weights under this spec.
    """
    run = finished_run(task)
    stored = task.folder.table("alignment")
    stored = stored[stored.attack == CLEAN].set_index(["image", "explainer"])
    done = [c for c in run["cells"] if c["kind"] == "explain" and c["attack"] == CLEAN and c["status"] == "done"]
    chosen = random.Random(seed).sample(done, min(cells, len(done)))
    rows, model = [], task.model()
    for record in chosen:
        cell = Cell("explain", record["batch"], CLEAN, "", record["explainer"])
        progress.note(f"again: {cell.label}, batch {cell.batch}")
        rows += list(_compared(Bench(task.job, model, cell.batch, task.device, run["random"]), cell, stored))
    if not rows:
        raise InputError(f"no map of an annotated fracture among these {len(chosen)} cells; take more with --cells")
    return [_difference(str(metric), of) for metric, of in pd.DataFrame(rows).groupby("metric", sort=False)]


def _compared(bench: Bench, cell: Cell, stored: pd.DataFrame) -> Iterator[dict[str, object]]:
    maps = bench.explanations.maps(cell, *to_explain(bench, cell)).maps
    kept = bench.data.masks.flatten(1).any(1).nonzero()[:, 0]
    maps = maps[kept]
    masks, valid = bench.data.masks[kept], bench.data.valid[kept]
    known = alignment.metrics_of(bench.job.spec.metrics)
    metrics = [name for name, metric in known.items() if hasattr(metric, "reference")]
    given, generator = (masks, metrics, valid), torch.Generator().manual_seed(cell.batch)
    ours, theirs = (alignment.score(maps, *given, backend=by) for by in BACKENDS)
    untied = torch.stack([_untied(of, generator) for of in maps]) if len(maps) else maps
    mine, reference = (alignment.score(untied * valid, *given, backend=by) for by in BACKENDS)
    for name in metrics:
        for row, i in enumerate(kept.tolist()):
            yield {
                "metric": name, "ours": float(ours[name][row]), "as_is": float(theirs[name][row]),
                "untied": float(mine[name][row] - reference[name][row]),
                "stored": float(stored.loc[(bench.ids[i], cell.explainer), name]),
            }  # fmt: skip


def _untied(values: Tensor, generator: torch.Generator) -> Tensor:
    """The places of the pixels from the lowest up, over their number: the same order, ties broken at random."""
    flat = values.flatten().cpu().double()
    tossed = torch.randperm(len(flat), generator=generator)
    order = tossed[flat[tossed].argsort(stable=True)]
    places = torch.empty(len(flat), dtype=torch.float32)
    places[order] = torch.arange(1.0, len(flat) + 1) / len(flat)
    return places.view(values.shape).to(values.device)


def _difference(metric: str, rows: pd.DataFrame) -> Difference:
    apart = [(rows.ours - rows[other]).abs() for other in ("stored", "as_is")]
    # what is not a number on one side alone differs without bound
    stored, as_is = (float(of.fillna(np.inf).max()) for of in apart)
    return Difference(metric, len(rows), stored, float(rows.untied.abs().fillna(np.inf).max()), as_is)
