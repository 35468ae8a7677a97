"""What determines the numbers of a cell, and nothing beyond: a cell that two specs have in common has one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fracbench.keyed import digest
from fracbench.plan import CLEAN, CRAFTED, Cell, Job

PROBED = 8  # images of the first batch on which a model is looked at before its cells


def named(job: Job, cell: Cell, model: Mapping[str, Any]) -> dict[str, Any]:
    """All that a cell is stored under; ``model`` is what determines the answers: weights, code and machine."""
    return {**identity_of(job, cell), **model}


def identity_of(job: Job, cell: Cell) -> dict[str, Any]:
    """What of the job determines a cell, as JSON."""
    spec, ids = job.spec, [sample.id for sample in job.batches[cell.batch]]
    return {
        "cell": [cell.kind, cell.batch, cell.attack, cell.epsilon, cell.explainer, cell.norm],
        "dataset": [spec.dataset.model_dump(mode="json"), job.split, job.fingerprint],
        "images": [digest(ids), spec.image_size],
        "probed": [sample.id for sample in job.batches[0][:PROBED]],
        "gallery": sorted(job.gallery.intersection(ids)),
        **_OF_KIND[cell.kind](job, cell),
    }


def _clean(job: Job, _: Cell) -> dict[str, Any]:
    return {"chance": [list(job.spec.metrics), job.spec.tolerance]}


def _crafted(job: Job, cell: Cell) -> dict[str, Any]:
    spec = job.spec
    attack = [job.ref_of(cell).model_dump(mode="json"), cell.norm or spec.threat.norm]
    return {"attack": attack, "seeds": [spec.seeds_of or spec.name, spec.seed]}


def _aimed(job: Job, cell: Cell) -> dict[str, Any]:
    return {**_crafted(job, cell), "tolerance": job.spec.tolerance}


def _after_others(job: Job, cell: Cell) -> dict[str, Any]:
    """Of a cell that attacks only what nothing has broken yet."""
    order = [*job.cells(cell.batch), *job.answering(cell.batch)]
    before = [identity_of(job, of) for of in order[: order.index(cell)] if of.kind in CRAFTED]
    ladder = job.spec.threat.ladder
    rungs = [job.spec.threat.epsilon, *(ladder.epsilons if ladder else ())]
    return {**_crafted(job, cell), "rungs": rungs, "before": digest(before)}


def _explained(job: Job, cell: Cell) -> dict[str, Any]:
    spec, ids = job.spec, {sample.id for sample in job.batches[cell.batch]}
    of: dict[str, Any] = {}
    if cell.attack != CLEAN:
        aimed = spec.explanation_attack and spec.explanation_attack.name == cell.attack
        of = identity_of(job, replace(cell, kind="explanation" if aimed else "attack", explainer=""))
    explainer = next((ref.model_dump(mode="json") for ref in spec.explainers if ref.name == cell.explainer), "given")
    return {
        "explainer": explainer,
        "of": [spec.threat.norm, of],
        "scores": [list(spec.metrics), spec.tolerance, job.metrics_backend, spec.seed],
        "faithfulness": sorted(job.faithfulness_sample & ids),
    }


_OF_KIND: Mapping[str, Callable[[Job, Cell], dict[str, Any]]] = {
    "clean": _clean, "attack": _crafted, "further": _crafted, "corruption": _crafted, "ladder": _after_others,
    "symptoms": _after_others, "explanation": _aimed, "explain": _explained,
}  # fmt: skip
