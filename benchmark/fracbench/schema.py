"""What YAML and JSON files may say: names, threat models, benchmark specs. No torch here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

SCHEMA_VERSION = 6
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"
PLUGIN_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SHA256_PATTERN = r"^[0-9a-fA-F]{64}$"
FILE_PATTERN = r"^[ -~]{1,200}$"
SPLIT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
LINK_PATTERN = r"^https?://[!-~]{1,500}$"
PATTERN_ADVICE = {
    FILE_PATTERN: "write the name of a file beside the YAML, at most 200 plain letters",
    LINK_PATTERN: "write an http or https address",
    NAME_PATTERN: "use lower case, digits and -",
    PLUGIN_PATTERN: "use lower case, digits, - and _",
    SPLIT_PATTERN: "write the name of a split, such as train",
    SHA256_PATTERN: "write the 64 digits that `sha256sum FILE` prints",
}

Norm = Literal["linf", "l2"]
Given = Literal["reader", "mean_mask"]  # a second annotator's masks; where training fractures lie
Backend = Literal["fracbench", "quantus"]  # who computes the scores of attributions
CORRUPTIONS: Literal["corruptions"] = "corruptions"
ADAPTIVE = "adaptive"  # the attack that answers flags
THIRD_PARTY = "third-party"
SEVERITIES = (1, 2, 3, 4, 5)
# columns of alignment rows beside the spec's metrics
INSTANCES = ("instance_hit", "instance_recall")
SPREAD = ("concentration", "outside_anatomy")
STABILITY = ("rank_correlation", "top_overlap")
FAITHFULNESS = ("pixel_flipping", "sparseness")


# of bounded length and exponent: strangers write these too, and 1e999999999 is a number of a billion digits
_DECIMAL = r"[+-]?(\d{1,9}(\.\d{0,30})?|\.\d{1,30})(e[+-]?\d{1,2})?"
_FRACTION = re.compile(f"{_DECIMAL}(/{_DECIMAL})?", re.ASCII | re.IGNORECASE)


def parse_epsilon(text: str | int | float) -> float:
    """Turn a fraction such as ``2/255`` or ``0.5/255`` into a float.

    Raises ``ValueError`` for what is not a positive fraction; the common slip of writing ``4`` for ``4/255``
    is named. L2 radii of 1 and more are therefore written as a fraction too: ``2/1``.
    """
    written = str(text).strip()
    parts = written.split("/")
    try:
        if not _FRACTION.fullmatch(written):
            raise ValueError
        value = Fraction(parts[0]) / (Fraction(parts[1]) if len(parts) == 2 else 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"'{written[:40]}' is not a fraction; write an epsilon like 2/255") from None
    if value <= 0:
        raise ValueError(f"epsilon {written} is not positive; write a fraction like 2/255")
    if len(parts) == 1 and value >= 1:
        raise ValueError(f"epsilon {written} exceeds the pixel range [0, 1]; did you mean {written}/255?")
    return float(value)


def with_rounding(epsilon: float) -> float:
    """How far from the image float32 may measure what was projected into the ball of ``epsilon``."""
    return epsilon + 1e-6 * max(1.0, 2 * epsilon)


@dataclass(frozen=True)
class ThreatModel:
    """A ball of radius ``epsilon`` (pixels in [0, 1]) in the norm ``linf`` or ``l2``.

    Or ``corruptions``, which are no ball: ``epsilon`` is then the severity, a whole number from 1 to 5.
    """

    norm: Norm | Literal["corruptions"]
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm == CORRUPTIONS:
            if self.epsilon not in SEVERITIES:
                raise ValueError(f"severity {self.epsilon} is not one of 1, 2, 3, 4, 5")
            return
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"unknown norm '{self.norm}'; write linf or l2")
        if isinstance(self.epsilon, str):
            raise ValueError(f"epsilon is text; give a number: parse_epsilon('{self.epsilon}')")
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be positive and finite, got {self.epsilon}")
        if self.norm == "linf" and self.epsilon > 1:
            hint = f"; did you mean {self.epsilon:g}/255?" if self.epsilon == int(self.epsilon) else ""
            raise ValueError(f"epsilon {self.epsilon:g} exceeds the pixel range [0, 1]{hint}")


def grey_epsilon(norm: str, side: int) -> float:
    """The epsilon from which all images of ``side`` pixels may become the same grey: only a constant answer remains."""
    return 0.5 if norm == "linf" else 0.5 * side


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked_epsilon(text: str) -> str:
    parse_epsilon(text)
    return text


Epsilon = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_checked_epsilon)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class PluginRef(StrictModel):
    """A registered plugin and its parameters; never an import path."""

    name: str = Field(pattern=PLUGIN_PATTERN, description="A registered name: `fracbench list` shows them.")
    params: dict[str, JsonValue] = Field(default={}, description="Its parameters; those left out have their defaults.")


class Ladder(StrictModel):
    """The rungs of the robustness curve, ascending, and the attack that climbs them."""

    epsilons: tuple[Epsilon, ...] = Field(min_length=1)
    attack: PluginRef

    @model_validator(mode="after")
    def _ascending(self) -> Ladder:
        values = [parse_epsilon(e) for e in self.epsilons]
        if values != sorted(set(values)):
            raise ValueError("ladder epsilons must ascend without repeats")
        return self


class ThreatSpec(StrictModel):
    """A threat model with its reference epsilon and, if any, its ladder."""

    norm: Norm
    epsilon: Epsilon
    ladder: Ladder | None = None

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

    norm: Norm
    epsilon: Epsilon
    attacks: tuple[PluginRef, ...] = Field(min_length=1)


class Corruptions(StrictModel):
    """Kinds of corruption and their severities; accuracies under them are averaged, never worst-cased."""

    kinds: tuple[PluginRef, ...] = Field(min_length=1)
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(default=SEVERITIES, min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Corruptions:
        if len(self.severities) != len(set(self.severities)):
            raise ValueError("a severity is listed twice; keep one of each")
        return self


class SampleCount(StrictModel):
    """How many images of each class are evaluated; None takes all."""

    fractured: int | None = None
    normal: int | None = None


class StudyPlan(StrictModel):
    """What a study of this benchmark tests, written before its results: nothing else may be called primary.

    Training pairs are two models of one network, data and seed, by the recipes ``standard`` and ``adversarial``; their
    change is adversarial less standard in the raw ``metric``, averaged over the maps of ``panel`` on clean annotated
    fractured images. ``relevant`` is the smallest change that would matter. Of ``seen_seeds`` alignments of pairs, on
    these images or others, had been seen when the plan was written.
    """

    hypothesis: str = Field(min_length=1)
    panel: tuple[str, ...] = Field(min_length=1)
    metric: str
    standard: str
    adversarial: str
    unit: Literal["training pair"]
    test: Literal["swaps within training pairs, two-sided"]
    level: float = Field(gt=0, lt=1)
    relevant: float = Field(gt=0)
    seen_seeds: tuple[int, ...] = ()


class BenchmarkSpec(StrictModel):
    """A versioned benchmark: a submission can change none of it.

    Whoever enters the benchmark ``entered_by``, whose protocol this one shares, enters this one too.
    ``given`` are maps that no network made, scored like explainers; ``explanation_attack`` moves the attribution while
    the answer stays; ``faithfulness`` is on how many fractured images, drawn at random, it is measured. ``subgroups``
    are facts of the images by whose values accuracies are told apart, or ``all`` that have few values. Random draws are
    those of ``seeds_of``, a benchmark that this one extends: cells that the two have in common are computed once.
    """

    name: Name
    title: str
    note: str = ""
    entered_by: Name | None = None
    dataset: PluginRef
    split: str = "test"
    images: SampleCount = SampleCount()
    image_size: int = Field(ge=16, le=2048)
    threat: ThreatSpec
    attacks: tuple[PluginRef, ...] = Field(min_length=1)
    further_threats: tuple[FurtherThreat, ...] = ()
    corruptions: Corruptions | None = None
    adaptive: PluginRef | None = None
    sanity_attack: PluginRef | None = None
    explainers: tuple[PluginRef, ...] = Field(min_length=1)
    panel: tuple[str, ...] = Field(min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    given: tuple[Given, ...] = ()
    explanation_attack: PluginRef | None = None
    faithfulness: int = Field(default=0, ge=0)
    subgroups: tuple[str, ...] | Literal["all"] = ()
    study: StudyPlan | None = None
    tolerance: str = "15/224"
    seed: int = 0
    seeds_of: Name | None = None
    logical_batch: int = Field(ge=1)

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
