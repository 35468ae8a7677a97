"""Binds a spec to its data and plugins, and refuses what can be refused before a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fracbench import registry
from fracbench.alignment import metrics_of
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.contracts import Dataset, Sample, contract_fault
from fracbench.data import choose, logical_batches
from fracbench.errors import InputError, did_you_mean
from fracbench.plan import Job, sanity_attack
from fracbench.robustness import NORMS, check_norm
from fracbench.schema import Backend, PluginRef
from fracbench.scorable import check_backend

MOST_CELLS = 20_000


def shrink(ref: PluginRef, budget: float) -> PluginRef:
    """Scale an attack's steps and queries by ``budget``; at least one remains."""
    params = {
        key: max(1, round(value * budget))
        if isinstance(value, int) and key.rpartition("_")[2] in ("steps", "queries")
        else value
        for key, value in ref.params.items()
    }
    return PluginRef(name=ref.name, params=params)


def shrunk(spec: BenchmarkSpec, budget: float) -> BenchmarkSpec:
    """The spec with a share of its budgets; the sanity attack keeps all of its own, for too few steps cry wolf."""
    threat = spec.threat
    if threat.ladder:
        quicker = threat.ladder.model_copy(update={"attack": shrink(threat.ladder.attack, budget)})
        threat = threat.model_copy(update={"ladder": quicker})

    def each(refs: tuple[PluginRef, ...]) -> tuple[PluginRef, ...]:
        return tuple(shrink(ref, budget) for ref in refs)

    return spec.model_copy(
        update={
            "threat": threat,
            "attacks": each(spec.attacks),
            "further_threats": tuple(
                of.model_copy(update={"attacks": each(of.attacks)}) for of in spec.further_threats
            ),
            "adaptive": shrink(spec.adaptive, budget) if spec.adaptive else None,
            "sanity_attack": sanity_attack(spec),
        }
    )


def resolve(
    spec: BenchmarkSpec,
    *,
    data: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    budget: float = 1.0,
    metrics_backend: Backend = "fracbench",
) -> Job:
    """Bind a spec to its data and plugins. Raises ``InputError`` for all that can be wrong before a run."""
    if not 0 < budget <= 1:
        raise InputError(f"--budget {budget} must lie above 0 and at most at 1")
    check_backend(metrics_backend)
    if limit is not None and limit < 2:
        raise InputError(f"--limit {limit} is too small; one fractured and one normal image are needed")
    spec = shrunk(spec, budget) if budget < 1 else spec
    root = Path(data) if data is not None else None
    if root is not None and not root.is_dir():
        published = getattr(registry.load("datasets", spec.dataset.name), "archive", None)
        hint = f"; `fracbench data {spec.dataset.name}` downloads it to ./{published.folder}" if published else ""
        raise InputError(f"--data {data}: no such folder{hint}")
    dataset: Dataset = registry.make("datasets", spec.dataset.name, spec.dataset.params, root=root)
    of = split or spec.split
    if of not in dataset.splits:
        hint = did_you_mean(of, dataset.splits)
        given = ", ".join(dataset.splits)
        raise InputError(f"unknown split '{of}'.{hint} Splits are: {given}; pass one of them with --split")
    samples: Sequence[Sample] = dataset.samples(of)
    fractured, normal = spec.images.fractured, spec.images.normal
    if limit is not None:
        there = [sum(sample.label == label for sample in samples) for label in (1, 0)]
        fractured = min(limit // 2, there[0], fractured or limit)
        normal = min(limit - limit // 2, there[1], normal or limit)
    chosen = choose(samples, fractured, normal, spec.seed)
    if not chosen:
        raise InputError(f"the split '{of}' has no images; choose another with --split")
    job = Job(
        spec,
        dataset,
        of,
        tuple(logical_batches(chosen, spec.logical_batch)),
        dataset.fingerprint(of),
        custom=limit is not None or budget < 1 or metrics_backend != "fracbench",
        metrics_backend=metrics_backend,
    )
    _check_contracts(job)
    _check_norms(job)
    _check_aims(job)
    _check_size(job)
    return job


def _check_size(job: Job) -> None:
    """A record of ever more cells could be written, but not read again."""
    cells, _ = job.planned
    if cells > MOST_CELLS:
        enough = job.spec.logical_batch * math.ceil(cells / MOST_CELLS)
        raise InputError(
            f"{job.spec.name} has {cells:,} cells, of which a run can hold {MOST_CELLS:,}; "
            f"set its logical_batch to {enough} or more"
        )


def _check_contracts(job: Job) -> None:
    """A parameter that is wrong, or a plugin that lacks what it has to declare, shows before anything runs."""
    plugins: list[tuple[str, str, object]] = [("attacks", name, attack) for name, _, attack in job.every_attack()]
    plugins += [("explainers", *of) for of in job.explainers.items()]
    plugins += [("metrics", *of) for of in metrics_of(job.spec.metrics).items()]
    found = [(kind, name, contract_fault(kind, plugin)) for kind, name, plugin in plugins]
    faults = [f"{kind[:-1]} '{name}': {fault}" for kind, name, fault in found if fault]
    if faults:
        raise InputError(*dict.fromkeys(faults))


def _check_norms(job: Job) -> None:
    faults = []
    for name, norm, attack in job.every_attack():
        try:
            check_norm(attack, norm, name)
        except InputError as error:
            faults.append(f"{error.faults[0]}; these do: {', '.join(_who_knows(norm))}")
    if faults:
        raise InputError(*dict.fromkeys(faults))


def _check_aims(job: Job) -> None:
    """An attack that keeps the answer breaks nothing, and one that does not is none on the explanation."""
    keeping = {
        ref.name for ref in job.spec.attacks if getattr(registry.load("attacks", ref.name), "keeps_prediction", False)
    }
    if keeping:
        raise InputError(f"attack '{min(keeping)}' keeps the answer; name it under explanation_attack, not attacks")
    aimed = job.spec.explanation_attack
    if aimed and not getattr(registry.load("attacks", aimed.name), "keeps_prediction", False):
        raise InputError(
            f"attack '{aimed.name}' does not keep the answer; name it under attacks, not explanation_attack"
        )


def _who_knows(norm: str) -> list[str]:
    """Attacks that know a norm; one that cannot be imported is no answer, and no reason to give none."""
    able = []
    for name in registry.names("attacks"):
        try:
            factory = registry.load("attacks", name)
        except InputError:
            continue
        if norm in getattr(factory, "norms", NORMS):
            able.append(name)
    return able
