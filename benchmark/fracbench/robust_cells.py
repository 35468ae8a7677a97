"""Cells that predict and attack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from fracbench import checks, references
from fracbench.bench import Bench
from fracbench.cell_store import CellResult
from fracbench.ladder import Brackets
from fracbench.plan import CLEAN, CRAFTED, Cell, seed_of
from fracbench.robustness import Crafted, craft, margins, zero_gradient
from fracbench.rows import prediction_rows
from fracbench.undisturbed import undisturbed


def clean(bench: Bench, cell: Cell) -> CellResult:
    data, spec = bench.data, bench.job.spec
    with undisturbed(bench.model):
        margin = margins(bench.model, data.images, data.labels, bench.predictions)
        zero = zero_gradient(bench.model, data.images, data.labels, spec.threat.norm).cpu().numpy()
    nearest = torch.where(margin > 0, torch.inf, 0.0)
    rows = prediction_rows(bench.ids, CLEAN, 0.0, CLEAN, margin, torch.zeros(len(margin)), nearest)
    rows["zero_gradient"] = zero
    rows["fracture_margin"] = torch.where(data.labels == 1, margin, -margin).cpu().numpy()
    chances = references.chance(data.masks, data.valid, spec.metrics)
    chances["hit"] = references.chance(bench.explanations.near, data.valid, ["pointing_game"])["pointing_game"]
    samples = bench.job.batches[bench.batch]
    images = pd.DataFrame(
        {
            "image": bench.ids,
            "label": [sample.label for sample in samples],
            "group": [sample.group for sample in samples],
            "annotated": [sample.annotated for sample in samples],
            "mask_area": data.masks.sum((1, 2)).cpu().numpy(),
            "instances": [len(instances) for instances in data.instances],
            "content": data.valid.sum((1, 2)).cpu().numpy(),
            "metadata": [plain(sample.metadata) for sample in samples],
            **{f"chance_{name}": values.cpu().numpy() for name, values in chances.items()},
        }
    )
    gallery = []
    for i, name in enumerate(bench.ids):
        if name in bench.job.gallery:
            gallery.append(bench.picture(i, cell, "radiograph", data.images[i, 0]))
            gallery.append(bench.picture(i, cell, "mask", data.masks[i].float()))
    tables = {"predictions": rows, "images": images, "gallery": pd.DataFrame(gallery)}
    parameters = sum(of.numel() for of in bench.model.network.parameters())
    return CellResult({"random": bench.random, "parameters": parameters}, tables)


def _craft(bench: Bench, cell: Cell) -> tuple[Crafted, CellResult]:
    """The refereed attempts of a cell's attack, and the rows and cost of it and its parts."""
    data, threat = bench.data, bench.job.threat_of(cell)
    generator = torch.Generator().manual_seed(seed_of(bench.job, cell))
    given = (data.images, data.labels, threat, generator)
    crafted = craft(bench.model, bench.job.attack_of(cell), *given, predictions=bench.predictions)
    tables = [bench.rows(cell, crafted)] + [
        bench.rows(cell, of, name).assign(carried=(~of.attempted).cpu().numpy()) for name, of in crafted.parts.items()
    ]
    cost = {
        name: {"forward": of.spent.forward, "backward": of.spent.backward, "seconds": of.seconds}
        for name, of in crafted.parts.items()
    }
    return crafted, CellResult({"parts": cost}, {"predictions": pd.concat(tables)})


def further(bench: Bench, cell: Cell) -> CellResult:
    return _craft(bench, cell)[1]


def symptoms(bench: Bench, cell: Cell) -> CellResult:
    """Only images that nothing has broken yet are attacked: a smaller ball lies inside the larger one."""
    images, labels = bench.data.images[: checks.IMAGES], bench.data.labels[: checks.IMAGES]
    found = checks.symptoms(bench.model, images, labels, bench.predictions)
    earlier = [c for c in bench.job.cells(cell.batch) if c.kind in ("clean", *CRAFTED)]
    rows = pd.concat([bench.earlier(c).tables["predictions"] for c in earlier])
    nearest = rows.groupby("image").adversarial_distance.min().reindex(bench.ids[: len(images)])
    open_ = torch.from_numpy(np.isinf(nearest.fillna(np.inf)).to_numpy(copy=True)).to(bench.device)
    survivors: list[str] = []
    if open_.any():
        generator = torch.Generator().manual_seed(seed_of(bench.job, cell))
        given = images[open_], labels[open_], bench.job.spec.threat.norm, generator
        outlive = checks.outlive_grey(bench.model, bench.job.attack_of(cell), *given, predictions=bench.predictions)
        survivors = [bench.ids[i] for i in open_.nonzero()[outlive, 0].tolist()]
    return CellResult({"symptoms": found | {"survivors": survivors}})


def attack(bench: Bench, cell: Cell) -> CellResult:
    data, threat = bench.data, bench.job.threat_of(cell)
    crafted, result = _craft(bench, cell)
    gallery = []
    for i, name in enumerate(bench.ids):
        if name in bench.job.gallery:
            change = (crafted.images[i, 0] - data.images[i, 0]) / threat.epsilon
            gallery.append(bench.picture(i, cell, "radiograph", crafted.images[i, 0]))
            gallery.append(bench.picture(i, cell, "perturbation", change / 2 + 0.5))
    images = crafted.images[bench.explanations.annotated.to(crafted.images.device)].cpu().numpy()
    return CellResult(result.record, result.tables | {"gallery": pd.DataFrame(gallery)}, images)


def ladder(bench: Bench, cell: Cell) -> CellResult:
    """Each image is attacked only where its outcome is not known from the clean image, the reference or a rung.

    What another attack's ladder survived says nothing about this one's; what it broke does.
    """
    job, rungs = bench.job, bench.job.rungs
    order = [*job.cells(cell.batch), *job.answering(cell.batch)]
    before = {c: bench.earlier(c).tables["predictions"] for c in order[: order.index(cell)] if c.kind in CRAFTED}
    clean = bench.earlier(Cell("clean", cell.batch)).tables["predictions"]
    at_reference = pd.concat([rows for c, rows in before.items() if c.kind == "attack"])
    nearest = pd.concat(before.values()).groupby("image").adversarial_distance.min()
    brackets = Brackets(rungs, torch.from_numpy(clean.correct.to_numpy(bool, copy=True)))
    unbroken = at_reference.groupby("image").correct.all().reindex(bench.ids)
    robust = torch.from_numpy(unbroken.to_numpy(bool, copy=True))
    brackets.breaks(~robust, job.reference_rung)
    brackets.breaks_from(torch.from_numpy(nearest.reindex(bench.ids).fillna(np.inf).to_numpy(copy=True)))
    brackets.survives(robust, job.reference_rung)
    tables = [_carried(bench, cell, rung) for rung in range(len(rungs))]

    def robust_at(rung: int, which: torch.Tensor) -> torch.Tensor:
        assert job.spec.threat.ladder is not None
        written = job.spec.threat.ladder.epsilons[rung]
        generator = torch.Generator().manual_seed(seed_of(job, replace(cell, epsilon=written)))
        keep = which.to(bench.device)
        given = bench.data.images[keep], bench.data.labels[keep], job.threat_at(written), generator
        crafted = craft(bench.model, job.attack_of(cell), *given, predictions=bench.predictions)
        for column in ("margin", "distance", "adversarial_distance"):
            tables[rung].loc[which.numpy(), column] = getattr(crafted, column).cpu().numpy()
        tables[rung].loc[which.numpy(), "carried"] = False
        return crafted.robust

    brackets.place(robust_at)
    for rung, table in enumerate(tables):
        table["correct"] = (brackets.survived >= rung).numpy()
    return CellResult({}, {"predictions": pd.concat(tables)})


def _carried(bench: Bench, cell: Cell, rung: int) -> pd.DataFrame:
    """Rows of a rung before anything was attacked there."""
    nothing = torch.full((len(bench.ids),), torch.nan)
    at = bench.job.spec.threat.norm, bench.job.rungs[rung]
    rows = prediction_rows(bench.ids, *at, cell.attack, nothing, nothing, nothing)
    return rows.assign(carried=True, ladder=True)


def plain(metadata: Mapping[str, Any]) -> str:
    """Facts of an image as JSON."""
    return json.dumps({key: v.item() if isinstance(v, np.generic) else v for key, v in metadata.items()})
