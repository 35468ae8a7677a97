"""The scores and facts that a row of the leaderboard is made of, each with the range it can have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fracbench.schema import Epsilon
from fracbench.text import WORD_PATTERN, OneLine

# what the board shows: the limits that hold for submissions hold for results too
Text = Annotated[OneLine, Field(max_length=2000)]
Word = Annotated[str, Field(pattern=WORD_PATTERN)]


Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Share = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
Aligned = Annotated[float, Field(ge=-25, le=25)]  # calibrated, where ceiling and chance are 0.05 apart or more
Count = Annotated[int, Field(ge=0, le=10**12)]


class Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Score(Part):
    value: Share | None
    low: Share | None
    high: Share | None

    @model_validator(mode="after")
    def _whole(self) -> Score:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval with one end")
        return self


class Factors(Part):
    aligned_sensitivity: Score
    robust_specificity: Score


class Accuracy(Part):
    balanced_accuracy: Score


class Clean(Accuracy):
    auroc: Score


class Robust(Accuracy):
    attack_success_rate: Score
    missed_fracture_rate: Score
    false_alarm_rate: Score


class Flag(Part):
    name: Word
    text: Text
    images: Count
    unranks: bool
    answered: bool


class Overlap(Part):
    such_images: bool
    by: Literal["hashes", "names"]
    images: Count | None
    badge: Text


class Training(Part):
    data: Text
    recipe: Text | None
    threat: Text | None


class Passes(Part):
    forward: Count
    backward: Count


class Sender(Part):
    by: Word
    images: Count
    lowered: Count


class Rung(Part):
    epsilon: Epsilon
    balanced_accuracy: Share | None
    sensitivity: Share | None
    specificity: Share | None


class Median(Part):
    median: Number | None
    never_broken: Count
    n: Count


class AtSpecificity(Part):
    specificity: Number | None
    clean: Number | None
    robust: Number | None
    n: Count


class Attack(Part):
    """Costs are there for attacks that ran to their end."""

    robust_balanced_accuracy: Share | None
    n: Count
    attack_success_rate: Score | None = None
    missed_fracture_rate: Score | None = None
    false_alarm_rate: Score | None = None
    forward_per_image: Number | None = None
    backward_per_image: Number | None = None
    seconds: Number | None = None


class FurtherThreat(Accuracy):
    norm: Word
    epsilon: Epsilon
    attacks: dict[Word, Attack]


class Kind(Part):
    balanced_accuracy: Number | None
    sensitivity: Number | None
    specificity: Number | None


class KindBySeverity(Kind):
    by_severity: dict[Word, Kind]


class Corruptions(Kind):
    kinds: dict[Word, KindBySeverity]


class Subgroup(Part):
    fact: Text
    value: Text
    fractured: Count
    normal: Count
    clean: Score
    auroc: Score
    robust: Score


class Counts(Part):
    images: Count
    fractured: Count
    normal: Count
    annotated: Count
    groups: Count


class Contributions(Part):
    """One entry for each image of the headline, in one order."""

    groups: list[str]
    fractured: list[bool]
    values: list[Share | None]

    @model_validator(mode="after")
    def _of_one_length(self) -> Contributions:
        if not len(self.groups) == len(self.fractured) == len(self.values):
            raise ValueError("lists of different length")
        return self


class Mean(Part):
    value: Number | None
    n: Count


class Panel(Score):
    value: Aligned | None
    low: Aligned | None
    high: Aligned | None
    n: Count


class Calibrated(Part):
    raw: Number | None
    chance: Number | None
    ceiling: Number | None
    calibrated: Number | None
    n: Count


Alignment = dict[Word, dict[Word, dict[Word, Calibrated]]]  # of explainer, metric, and attack or ``clean``


class ByOutcome(Part):
    true_positives: Alignment
    survived: Alignment
    flipped: Alignment


class Hits(Part):
    clean: Number | None
    attacked: Number | None


class RobustAlignment(Part):
    attack: Word
    attempted: Count
    n: Count
    clean: Panel
    attacked: Panel
    hit: Hits


class BlankMaps(Part):
    blank: Count
    n: Count


class Stability(Part):
    rank_correlation: Mean
    top_overlap: Mean


class Faithfulness(Part):
    pixel_flipping: Mean
    sparseness: Mean


class Spread(Part):
    concentration: Mean
    outside_anatomy: Mean
