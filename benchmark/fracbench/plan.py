"""What a run will do, before it does it: cells in order, with the passes each may take."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

from fracbench import checks, ladder, registry
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.contracts import Attack, Dataset, Ensemble, Explainer, Sample
from fracbench.data import image_hash
from fracbench.faithfulness import flips
from fracbench.keyed import digest
from fracbench.robustness import referee_passes
from fracbench.schema import ADAPTIVE, CORRUPTIONS, Backend, Norm, PluginRef, ThreatModel, parse_epsilon

GALLERY_FRACTURED, GALLERY_NORMAL = 16, 8
CLEAN = "clean"
CRAFTED = ("attack", "ladder")  # kinds of cells that look for adversarial images under the norm of the reference


@dataclass(frozen=True)
class Cell:
    """One unit of work of one model on one logical batch.

    ``clean`` predicts; ``attack`` crafts in the ball of the reference threat; ``ladder`` finds the rung at which each
    image breaks; ``explain`` scores one explainer on the images of ``attack`` (or ``clean``); ``further`` crafts in
    the ball of another threat, of ``norm``; ``corruption`` predicts corrupted images, ``epsilon`` being the severity;
    ``symptoms`` looks for what flags are made of; ``explanation`` attacks the explanation and keeps the answer.
    """

    kind: Literal["clean", "attack", "ladder", "explain", "further", "corruption", "symptoms", "explanation"]
    batch: int
    attack: str = CLEAN
    epsilon: str = ""
    explainer: str = ""
    norm: str = ""

    @property
    def label(self) -> str:
        parts = (self.attack, self.norm, self.epsilon or self.kind) if self.attack != CLEAN else (CLEAN,)
        what = " ".join(part for part in parts if part)
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
    metrics_backend: Backend = "fracbench"

    @cached_property
    def attacks(self) -> Mapping[str, Attack]:
        """The attacks of the reference threat, in spec order."""
        return {ref.name: self._built(ref) for ref in self.spec.attacks}

    @cached_property
    def _attacks_built(self) -> dict[str, Attack]:
        return {}

    def _built(self, ref: PluginRef) -> Attack:
        """One instance for each name and parameters."""
        key = ref.model_dump_json()
        if key not in self._attacks_built:
            self._attacks_built[key] = registry.make("attacks", ref.name, ref.params)
        return self._attacks_built[key]

    @cached_property
    def explainers(self) -> Mapping[str, Explainer]:
        return {ref.name: registry.make("explainers", ref.name, ref.params) for ref in self.spec.explainers}

    @property
    def adaptive(self) -> PluginRef | None:
        """The attack that answers flags; None where the spec has none, or runs it on everything anyway."""
        return self.spec.adaptive if ADAPTIVE not in self.attacks else None

    @property
    def _corruptions(self) -> list[tuple[PluginRef, int]]:
        of = self.spec.corruptions
        return list(itertools.product(of.kinds, of.severities)) if of else []

    def ref_of(self, cell: Cell) -> PluginRef:
        """The attack, or corruption, of a cell that has one, as the spec gives it."""
        ladder = self.spec.threat.ladder
        if cell.kind == "symptoms":
            return sanity_attack(self.spec)
        if cell.kind == "explanation" and self.spec.explanation_attack:
            return self.spec.explanation_attack
        if cell.kind == "ladder" and ladder and cell.attack == ladder.attack.name:
            return ladder.attack
        if cell.kind in ("attack", "ladder") and cell.attack == ADAPTIVE and self.adaptive:
            return self.adaptive
        refs = self.spec.attacks
        if cell.kind == "further":
            (refs,) = (
                of.attacks for of in self.spec.further_threats if (of.norm, of.epsilon) == (cell.norm, cell.epsilon)
            )
        elif cell.kind == "corruption" and self.spec.corruptions:
            refs = self.spec.corruptions.kinds
        return next(ref for ref in refs if ref.name == cell.attack)

    def attack_of(self, cell: Cell) -> Attack:
        """The attack, or corruption, of a cell that has one."""
        return self._built(self.ref_of(cell))

    def every_attack(self) -> Iterator[tuple[str, str, Attack]]:
        """(name, norm, attack) of all that the spec names."""
        spec, norm = self.spec, self.spec.threat.norm
        refs = [(norm, ref) for ref in spec.attacks]
        refs += [(norm, ref) for ref in (spec.threat.ladder and spec.threat.ladder.attack, spec.adaptive) if ref]
        refs += [(norm, sanity_attack(spec))]
        refs += [(norm, spec.explanation_attack)] if spec.explanation_attack else []
        refs += [(of.norm, ref) for of in spec.further_threats for ref in of.attacks]
        yield from ((ref.name, of, self._built(ref)) for of, ref in refs)
        yield from (
            (ref.name, CORRUPTIONS, self._built(ref)) for ref in (spec.corruptions.kinds if spec.corruptions else ())
        )

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

    @cached_property
    def image_hashes(self) -> tuple[str, ...]:
        """SHA-256 (hex) of every image of the run, to be looked for among those of training images."""
        return tuple(image_hash(self.dataset, sample) for batch in self.batches for sample in batch)

    @cached_property
    def faithfulness_sample(self) -> frozenset[str]:
        """Ids of the annotated fractured images on which faithfulness is measured, drawn by the spec's seed."""
        ids = sorted(s.id for batch in self.batches for s in batch if s.label == 1 and s.annotated)
        return frozenset(random.Random(self.spec.seed).sample(ids, min(self.spec.faithfulness, len(ids))))

    @property
    def folder_name(self) -> str:
        """Results folder: a trial or another split never overwrites the benchmark's own results."""
        split = f"-{self.split}" if self.split != self.spec.split else ""
        return f"{self.spec.name}{split}{'-custom' if self.custom else ''}"

    @cached_property
    def rungs(self) -> list[float]:
        """Epsilons of the ladder, ascending; none without a ladder."""
        of = self.spec.threat.ladder
        return [parse_epsilon(written) for written in of.epsilons] if of else []

    @property
    def reference_rung(self) -> int:
        return self.rungs.index(self.spec.threat.model.epsilon)

    def threat_at(self, epsilon: str) -> ThreatModel:
        """The reference norm with another epsilon, such as a rung's."""
        return ThreatModel(self.spec.threat.norm, parse_epsilon(epsilon))

    def threat_of(self, cell: Cell) -> ThreatModel:
        if cell.kind == "corruption":
            return ThreatModel(CORRUPTIONS, int(cell.epsilon))
        return ThreatModel(cast(Norm, cell.norm or self.spec.threat.norm), parse_epsilon(cell.epsilon))

    def cells(self, batch: int) -> list[Cell]:
        """The cells of a logical batch in the order they run: each needs only earlier ones."""
        reference = self.spec.threat.epsilon
        cells = [Cell("clean", batch)]
        cells += [Cell("attack", batch, name, reference) for name in self.attacks]
        if self.spec.threat.ladder:
            cells.append(Cell("ladder", batch, self.spec.threat.ladder.attack.name))
        for of in self.spec.further_threats:
            cells += [Cell("further", batch, ref.name, of.epsilon, norm=of.norm) for ref in of.attacks]
        cells += [Cell("corruption", batch, ref.name, str(n), norm=CORRUPTIONS) for ref, n in self._corruptions]
        cells.append(Cell("symptoms", batch, sanity_attack(self.spec).name))
        cells += [Cell("explain", batch, CLEAN, "", name) for name in (*self.explainers, *self.spec.given)]
        for name in self.attacks:
            cells += self._explained(batch, name)
        if self.spec.explanation_attack and self._any_to_explain(batch):
            aimed = Cell("explanation", batch, self.spec.explanation_attack.name, reference)
            cells += [aimed, *(replace(aimed, kind="explain", explainer=name) for name in self.spec.panel)]
        return cells

    @cached_property
    def planned(self) -> tuple[int, int]:
        """Cells of a model, and the most passes they may take; what answers flags comes on top."""
        cells = [cell for batch in range(len(self.batches)) for cell in self.cells(batch)]
        return len(cells), sum(sum(self.passes(cell)) for cell in cells)

    def answering(self, batch: int) -> list[Cell]:
        """Cells of the adaptive attack on a logical batch, which run when a flag asks for them.

        It climbs the ladder too: an attack that is blind at the reference is blind at every rung.
        """
        ladder = self.spec.threat.ladder
        climb = [Cell("ladder", batch, ADAPTIVE)] if ladder and ladder.attack.name != ADAPTIVE else []
        return [Cell("attack", batch, ADAPTIVE, self.spec.threat.epsilon), *climb, *self._explained(batch, ADAPTIVE)]

    def _explained(self, batch: int, attack: str) -> list[Cell]:
        """Explaining an attack's images; a batch without an annotated fracture has nothing to explain under attack."""
        if not self._any_to_explain(batch):
            return []
        return [Cell("explain", batch, attack, self.spec.threat.epsilon, explainer) for explainer in self.explainers]

    def _any_to_explain(self, batch: int) -> bool:
        return any(sample.label == 1 and sample.annotated for sample in self.batches[batch])

    def passes(self, cell: Cell, predictions: int = 1) -> tuple[int, int]:
        """The most (forward, backward) passes a cell takes, over all its images."""
        batch = self.batches[cell.batch]
        if cell.kind == "clean":
            return (max(2, predictions) + 1) * len(batch), len(batch)
        if cell.kind == "explain":
            if cell.explainer in self.spec.given:
                return 0, 0
            explained = sum(s.label == 1 and s.annotated for s in batch)
            forward, backward = self.explainers[cell.explainer].passes
            if cell.attack != CLEAN:  # the clean maps beside them, where those are not at hand
                return 2 * forward * explained, 2 * backward * explained
            flipped = sum(sample.id in self.faithfulness_sample for sample in batch)
            return forward * len(batch) + (flips(self.spec.image_size) + 2) * flipped, backward * len(batch)
        attack = self.attack_of(cell)
        forward, backward = attack.passes
        if cell.kind == "symptoms":
            few = min(len(batch), checks.IMAGES)
            levels = len(checks.FLAT)
            looked = 2 + 1 + checks.HALVINGS + levels * max(2, predictions)
            return (looked + forward + referee_passes(attack, predictions)) * few + levels, backward * few
        times = ladder.rounds(len(self.rungs), self.reference_rung) if cell.kind == "ladder" else 1
        return times * (forward + referee_passes(attack, predictions)) * len(batch), times * backward * len(batch)

    def identity(self) -> dict[str, Any]:
        """What of the job determines its numbers."""
        return {
            "spec": self.spec.decisive(),
            "split": self.split,
            "fingerprint": self.fingerprint,
            "metrics_backend": self.metrics_backend,
            "batches": digest([[sample.id for sample in batch] for batch in self.batches]),
        }


def sanity_attack(spec: BenchmarkSpec) -> PluginRef:
    """The attack that must reach zero accuracy in a ball of half the pixel range: the ladder's, unless told."""
    ladder = spec.threat.ladder
    return spec.sanity_attack or (ladder.attack if ladder else spec.attacks[0])


def seed_of(job: Job, cell: Cell) -> int:
    """Seed of a cell's generator: from the spec, attack, threat and batch, never from the model."""
    params = job.ref_of(cell).params
    norm = cell.norm or job.spec.threat.norm
    parts = [
        job.spec.seeds_of or job.spec.name,
        job.spec.seed,
        cell.kind,
        cell.attack,
        params,
        norm,
        cell.epsilon,
        cell.batch,
    ]
    return int(digest(json.dumps(parts, sort_keys=True))[:15], 16)
