"""What a run will do, before it does it: cells in order, with the passes each may take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fracbench import registry
from fracbench.contracts import Attack, Dataset, Ensemble, Explainer, Sample
from fracbench.data import choose, logical_batches
from fracbench.errors import InputError, did_you_mean
from fracbench.schema import BenchmarkSpec, PluginRef, ThreatModel, parse_epsilon
from fracbench.store import digest

GALLERY_FRACTURED, GALLERY_NORMAL = 16, 8
CLEAN = "clean"


@dataclass(frozen=True)
class Cell:
    """One unit of work of one model on one logical batch.

    ``clean`` predicts; ``attack`` crafts at the reference epsilon; ``rung`` crafts at one rung of the
    ladder; ``explain`` scores one explainer on the images of ``attack`` (or ``clean``).
    """

    kind: Literal["clean", "attack", "rung", "explain"]
    batch: int
    attack: str = CLEAN
    epsilon: str = ""
    explainer: str = ""

    @property
    def label(self) -> str:
        what = f"{self.attack} {self.epsilon}".strip()
        return f"{self.explainer} on {what}" if self.kind == "explain" else what


@dataclass(frozen=True)
class Job:
    """A spec resolved against data and plugins: everything about a run but the model."""

    spec: BenchmarkSpec
    dataset: Dataset
    split: str
    batches: tuple[tuple[Sample, ...], ...]
    fingerprint: str
    custom: bool

    @cached_property
    def attacks(self) -> Mapping[str, Attack]:
        return {ref.name: registry.make("attacks", ref.name, ref.params) for ref in self.spec.attacks}

    @cached_property
    def explainers(self) -> Mapping[str, Explainer]:
        return {ref.name: registry.make("explainers", ref.name, ref.params) for ref in self.spec.explainers}

    @cached_property
    def ladder_attack(self) -> Attack | None:
        ladder = self.spec.threat.ladder
        return registry.make("attacks", ladder.attack.name, ladder.attack.params) if ladder else None

    @cached_property
    def black_box(self) -> list[str]:
        """Names of attacks and parts that use no gradient."""
        leaves: dict[str, Attack] = {}
        for name, attack in self.attacks.items():
            leaves |= attack.parts if isinstance(attack, Ensemble) else {name: attack}
        return sorted(name for name, attack in leaves.items() if getattr(attack, "black_box", False))

    @cached_property
    def gallery(self) -> frozenset[str]:
        """Ids of the images shown on the board: the first by id, fractured and normal."""
        samples = [sample for batch in self.batches for sample in batch]
        fractured = [s.id for s in samples if s.label == 1 and s.annotated][:GALLERY_FRACTURED]
        return frozenset(fractured + [s.id for s in samples if s.label == 0][:GALLERY_NORMAL])

    @property
    def folder_name(self) -> str:
        """Results folder: a trial or another split never overwrites the benchmark's own results."""
        split = f"-{self.split}" if self.split != self.spec.split else ""
        return f"{self.spec.name}{split}{'-custom' if self.custom else ''}"

    def threat_at(self, epsilon: str) -> ThreatModel:
        return ThreatModel(self.spec.threat.norm, parse_epsilon(epsilon))

    def cells(self, batch: int) -> list[Cell]:
        """The cells of a logical batch in the order they run: each needs only earlier ones."""
        reference = self.spec.threat.epsilon
        ladder = self.spec.threat.ladder
        cells = [Cell("clean", batch)]
        cells += [Cell("attack", batch, name, reference) for name in self.attacks]
        if ladder:
            cells += [Cell("rung", batch, ladder.attack.name, epsilon) for epsilon in ladder.epsilons]
        cells += [Cell("explain", batch, CLEAN, "", explainer) for explainer in self.explainers]
        # a batch without an annotated fracture has nothing to explain under attack
        if any(sample.label == 1 and sample.annotated for sample in self.batches[batch]):
            for name in self.attacks:
                cells += [Cell("explain", batch, name, reference, explainer) for explainer in self.explainers]
        return cells

    def passes(self, cell: Cell, predictions: int = 1) -> tuple[int, int]:
        """The most (forward, backward) passes a cell takes, over all its images."""
        batch = self.batches[cell.batch]
        if cell.kind == "clean":
            return (max(2, predictions) + 1) * len(batch), len(batch)
        if cell.kind == "explain":
            explained = sum(s.label == 1 and s.annotated for s in batch) if cell.attack != CLEAN else len(batch)
            forward, backward = self.explainers[cell.explainer].passes
            return forward * explained, backward * explained
        attack = self.attacks[cell.attack] if cell.kind == "attack" else self.ladder_attack
        assert attack is not None
        forward, backward = attack.passes
        refereed = len(attack.parts) if isinstance(attack, Ensemble) else 1
        return (forward + max(2, predictions) * (1 + refereed)) * len(batch), backward * len(batch)

    def identity(self) -> dict[str, Any]:
        """What of the job determines its numbers."""
        return {
            "spec": self.spec.decisive(),
            "split": self.split,
            "fingerprint": self.fingerprint,
            "batches": digest([[sample.id for sample in batch] for batch in self.batches]),
        }


def shrink(ref: PluginRef, budget: float) -> PluginRef:
    """Scale an attack's steps and queries by ``budget``; at least one remains."""
    params = {
        key: max(1, round(value * budget))
        if isinstance(value, int) and key.rpartition("_")[2] in ("steps", "queries")
        else value
        for key, value in ref.params.items()
    }
    return PluginRef(name=ref.name, params=params)


def resolve(
    spec: BenchmarkSpec,
    *,
    data: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    budget: float = 1.0,
) -> Job:
    """Bind a spec to its data and plugins. Raises ``InputError`` for all that can be wrong before a run."""
    if not 0 < budget <= 1:
        raise InputError(f"--budget {budget} must lie above 0 and at most at 1")
    if limit is not None and limit < 2:
        raise InputError(f"--limit {limit} is too small; one fractured and one normal image are needed")
    if budget < 1:
        threat = spec.threat
        if threat.ladder:
            ladder = threat.ladder.model_copy(update={"attack": shrink(threat.ladder.attack, budget)})
            threat = threat.model_copy(update={"ladder": ladder})
        attacks = tuple(shrink(ref, budget) for ref in spec.attacks)
        spec = spec.model_copy(update={"attacks": attacks, "threat": threat})
    root = Path(data) if data is not None else None
    if root is not None and not root.is_dir():
        raise InputError(f"--data {data}: no such folder")
    dataset: Dataset = registry.make("datasets", spec.dataset.name, spec.dataset.params, root=root)
    of = split or spec.split
    if of not in dataset.splits:
        hint = did_you_mean(of, dataset.splits)
        raise InputError(f"unknown split '{of}'.{hint} Splits are: {', '.join(dataset.splits)}")
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
        custom=limit is not None or budget < 1,
    )
    _ = job.attacks, job.explainers, job.ladder_attack  # a wrong parameter shows before anything runs
    for name in spec.metrics:
        registry.make("metrics", name, {})
    return job


def seed_of(job: Job, cell: Cell) -> int:
    """Seed of a cell's generator: from the spec, attack, threat and batch, never from the model."""
    refs = {ref.name: ref.params for ref in job.spec.attacks}
    if cell.kind == "rung" and job.spec.threat.ladder:
        refs[cell.attack] = job.spec.threat.ladder.attack.params
    parts = [job.spec.name, job.spec.seed, cell.kind, cell.attack, refs.get(cell.attack, {}), job.spec.threat.norm]
    text = json.dumps([*parts, cell.epsilon, cell.batch], sort_keys=True)
    return int(digest(text)[:15], 16)
