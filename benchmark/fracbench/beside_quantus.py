"""Maps of a cell scored by Quantus too."""

from __future__ import annotations

import torch
from torch import Tensor

from fracbench import alignment
from fracbench.bench import Bench
from fracbench.explained_cells import to_explain
from fracbench.plan import Cell
from fracbench.schema import Backend

BACKENDS: tuple[Backend, ...] = ("fracbench", "quantus")


def by_quantus(bench: Bench, cell: Cell) -> dict[tuple[str, str], dict[str, float]]:
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
