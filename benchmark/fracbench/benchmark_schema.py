"""What the YAML of a benchmark may say. No torch here."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fracbench.schema import (
    ADAPTIVE,
    SEVERITIES,
    Epsilon,
    Given,
    Name,
    Norm,
    PluginRef,
    StrictModel,
    ThreatModel,
    grey_epsilon,
    parse_epsilon,
)


class Ladder(StrictModel):
    """The rungs of the robustness curve, ascending, and the attack that climbs them."""

    epsilons: tuple[Epsilon, ...] = Field(
        min_length=1, description="Its rungs, ascending, as fractions such as 0.5/255."
    )
    attack: PluginRef = Field(description="Who climbs it.")

    @model_validator(mode="after")
    def _ascending(self) -> Ladder:
        values = [parse_epsilon(e) for e in self.epsilons]
        if values != sorted(set(values)):
            raise ValueError("ladder epsilons must ascend without repeats")
        return self


class ThreatSpec(StrictModel):
    """A threat model with its reference epsilon and, if any, its ladder."""

    norm: Norm = Field(description="linf or l2.")
    epsilon: Epsilon = Field(
        description="The reference epsilon, in pixels of [0, 1]; one of the rungs, where there are any."
    )
    ladder: Ladder | None = Field(
        default=None, description="The rungs of the robustness curve; left out, there is none."
    )

    @model_validator(mode="after")
    def _on_the_ladder(self) -> ThreatSpec:
        if self.ladder and self.model.epsilon not in (parse_epsilon(rung) for rung in self.ladder.epsilons):
            raise ValueError(f"epsilon {self.epsilon} is no rung of the ladder; add it, or choose one of the rungs")
        return self

    @property
    def model(self) -> ThreatModel:
        return ThreatModel(self.norm, parse_epsilon(self.epsilon))


class FurtherThreat(StrictModel):
    """A threat model measured beside the reference: columns of its own, no part of the headline."""

    norm: Norm = Field(description="linf or l2.")
    epsilon: Epsilon = Field(description="In pixels of [0, 1].")
    attacks: tuple[PluginRef, ...] = Field(min_length=1, description="Those that are run under it.")


class Corruptions(StrictModel):
    """Kinds of corruption and their severities; accuracies under them are averaged, never worst-cased."""

    kinds: tuple[PluginRef, ...] = Field(
        min_length=1, description="Registered attacks whose threat model is `corruptions`."
    )
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        default=SEVERITIES, min_length=1, description="Those of 1 to 5 that are tried."
    )

    @model_validator(mode="after")
    def _once(self) -> Corruptions:
        if len(self.severities) != len(set(self.severities)):
            raise ValueError("a severity is listed twice; keep one of each")
        return self


class SampleCount(StrictModel):
    """How many images of each class are evaluated; what is left out, or null, takes all."""

    fractured: int | None = Field(default=None, description="Left out: all.")
    normal: int | None = Field(default=None, description="Left out: all.")


class StudyPlan(StrictModel):
    """What a study of this benchmark tests, written before its results: nothing else may be called primary.

    Training pairs are two models of one network, data and seed, by the recipes ``standard`` and ``adversarial``; their
    change is adversarial less standard in the raw ``metric``, averaged over the maps of ``panel`` on clean annotated
    fractured images. ``relevant`` is the smallest change that would matter. Of ``seen_seeds`` alignments of pairs, on
    these images or others, had been seen when the plan was written.
    """

    hypothesis: str = Field(
        min_length=1, description="What is asked, two-sided, and what was known when it was written."
    )
    panel: tuple[str, ...] = Field(min_length=1, description="The explainers whose maps are averaged.")
    metric: str = Field(description="The raw score that is compared.")
    standard: str = Field(description="The recipe of the standard half of a training pair.")
    adversarial: str = Field(description="That of the adversarial half.")
    unit: Literal["training pair"] = Field(description="What is counted.")
    test: Literal["swaps within training pairs, two-sided"] = Field(description="How p is found.")
    level: float = Field(gt=0, lt=1, description="What p is held against.")
    relevant: float = Field(gt=0, description="The smallest change that would matter.")
    seen_seeds: tuple[int, ...] = Field(
        default=(), description="Seeds whose pairs had been seen, on these images or others."
    )


class BenchmarkSpec(StrictModel):
    """A versioned benchmark: a submission can change none of it.

    An attack or map that is left out is not run.
    """

    name: Name = Field(description="With its version; what changes a number needs another.")
    title: str = Field(description="One line for readers of the board.")
    note: str = Field(default="", description="What it is for, and how its reference epsilon was chosen.")
    entered_by: Name | None = Field(default=None, description="Another benchmark, whose entries enter this one too.")
    dataset: PluginRef = Field(description="A registered dataset.")
    split: str = Field(default="test", description="The split that is evaluated; `--split` takes another.")
    images: SampleCount = Field(default=SampleCount(), description="How many of each class are drawn.")
    image_size: int = Field(ge=16, le=2048, description="Side of the square images in pixels.")
    threat: ThreatSpec = Field(description="The reference threat model, which ranks.")
    attacks: tuple[PluginRef, ...] = Field(min_length=1, description="All of them have to be survived.")
    further_threats: tuple[FurtherThreat, ...] = Field(
        default=(), description="Measured beside the reference; they do not rank."
    )
    corruptions: Corruptions | None = Field(default=None, description="Measured beside; they do not rank.")
    adaptive: PluginRef | None = Field(
        default=None, description="The attack that answers flags of a hidden gradient; its name is `adaptive`."
    )
    sanity_attack: PluginRef | None = Field(
        default=None,
        description="What flags are looked for with; left out, the attack of the ladder, else the first attack.",
    )
    explainers: tuple[PluginRef, ...] = Field(min_length=1, description="Whose maps are scored.")
    panel: tuple[str, ...] = Field(min_length=1, description="Those of them that make the headline.")
    metrics: tuple[str, ...] = Field(
        min_length=1, description="The scores of maps; calibrated alignment is that of relevance_rank_accuracy."
    )
    given: tuple[Given, ...] = Field(
        default=(), description="Maps that no network made: a second reader's outlines, where training fractures lie."
    )
    explanation_attack: PluginRef | None = Field(
        default=None, description="It moves the attribution while the answer stays."
    )
    faithfulness: int = Field(
        default=0, ge=0, description="On how many fractured images, drawn at random, faithfulness is measured."
    )
    subgroups: tuple[str, ...] | Literal["all"] = Field(
        default=(), description="Facts of the images by which accuracies are told apart, or `all` that have few values."
    )
    study: StudyPlan | None = Field(default=None, description="What `fracbench study` tests; no number depends on it.")
    tolerance: str = Field(
        default="15/224", description="How far beside the mask a peak may lie, as a fraction of the side."
    )
    seed: int = Field(default=0, description="Draws of images, attacks and explainers.")
    seeds_of: Name | None = Field(
        default=None, description="A benchmark that this one extends: cells in common are computed once."
    )
    logical_batch: int = Field(
        ge=1, description="Images that are attacked and explained together, so that rows do not depend on the machine."
    )

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkSpec:
        lists = [("attacks", self.attacks), ("explainers", self.explainers)]
        lists += [(f"attacks of {of.norm} {of.epsilon}", of.attacks) for of in self.further_threats]
        overlap = set(self.given) & {ref.name for ref in self.explainers}
        if overlap:
            raise ValueError(f"'{min(overlap)}' is among the given maps; leave it out of explainers")
        lists += [("kinds of corruptions", self.corruptions.kinds)] if self.corruptions else []
        for kind, refs in lists:
            names = [ref.name for ref in refs]
            if len(names) != len(set(names)):
                raise ValueError(f"{kind} are listed twice")
        balls = [(self.threat.norm, self.threat.model.epsilon)]
        balls += [(of.norm, parse_epsilon(of.epsilon)) for of in self.further_threats]
        if len(balls) != len(set(balls)):
            raise ValueError("a further threat repeats another, or the reference; give each norm and epsilon once")
        written = [(self.threat.norm, e) for e in (self.threat.ladder.epsilons if self.threat.ladder else ())]
        written += [(self.threat.norm, self.threat.epsilon), *((of.norm, of.epsilon) for of in self.further_threats)]
        for norm, epsilon in written:
            if parse_epsilon(epsilon) >= (grey := grey_epsilon(norm, self.image_size)):
                raise ValueError(f"epsilon {epsilon} in {norm} lets every image become grey; stay below {grey:g}")
        if self.adaptive and self.adaptive.name != ADAPTIVE:
            raise ValueError(f"the attack that answers flags is '{ADAPTIVE}', not '{self.adaptive.name}'")
        panels = [("panel", self.panel)] + ([("study's panel", self.study.panel)] if self.study else [])
        for word, panel in panels:
            if missing := set(panel) - {ref.name for ref in self.explainers}:
                raise ValueError(f"the {word} names explainers the spec does not run: {', '.join(sorted(missing))}")
        if self.study and self.study.metric not in self.metrics:
            raise ValueError(f"the study's metric is not among those of the spec: {self.study.metric}")
        return self

    def decisive(self) -> dict[str, Any]:
        """What decides the numbers, as JSON: a corrected note makes no other benchmark of it."""
        beside = {"title", "note", "entered_by", "subgroups", "study", *(() if self.seeds_of else ("seeds_of",))}
        return self.model_dump(mode="json", exclude=beside)

    @property
    def tolerance_px(self) -> float:
        """Hit tolerance in pixels of the spec's image size."""
        return float(Fraction(self.tolerance)) * self.image_size
