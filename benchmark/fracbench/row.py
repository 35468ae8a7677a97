"""What a leaderboard row must hold before anything ranks, prints or draws it; files may come from strangers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fracbench.errors import InputError
from fracbench.schema import NAME_PATTERN, Backend, Epsilon
from fracbench.text import WORD_PATTERN, OneLine

# what the board shows: the limits that hold for submissions hold for results too
_Text = Annotated[OneLine, Field(max_length=2000)]
_Word = Annotated[str, Field(pattern=WORD_PATTERN)]


_Number = Annotated[float, Field(ge=-1e12, le=1e12)]
_Share = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
_Aligned = Annotated[float, Field(ge=-25, le=25)]  # calibrated, where ceiling and chance are 0.05 apart or more
_Count = Annotated[int, Field(ge=0, le=10**12)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Score(_Part):
    value: _Share | None
    low: _Share | None
    high: _Share | None

    @model_validator(mode="after")
    def _whole(self) -> _Score:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval with one end")
        return self


class _Factors(_Part):
    aligned_sensitivity: _Score
    robust_specificity: _Score


class _Accuracy(_Part):
    balanced_accuracy: _Score


class _Clean(_Accuracy):
    auroc: _Score


class _Robust(_Accuracy):
    attack_success_rate: _Score
    missed_fracture_rate: _Score
    false_alarm_rate: _Score


class _Flag(_Part):
    name: _Word
    text: _Text
    images: _Count
    unranks: bool
    answered: bool


class _Overlap(_Part):
    such_images: bool
    by: Literal["hashes", "names"]
    images: _Count | None
    badge: _Text


class _Training(_Part):
    data: _Text
    recipe: _Text | None
    threat: _Text | None


class _Passes(_Part):
    forward: _Count
    backward: _Count


class _Sender(_Part):
    by: _Word
    images: _Count
    lowered: _Count


class _Rung(_Part):
    epsilon: Epsilon
    balanced_accuracy: _Share | None
    sensitivity: _Share | None
    specificity: _Share | None


class _Median(_Part):
    median: _Number | None
    never_broken: _Count
    n: _Count


class _AtSpecificity(_Part):
    specificity: _Number | None
    clean: _Number | None
    robust: _Number | None
    n: _Count


class _Attack(_Part):
    """Costs are there for attacks that ran to their end."""

    robust_balanced_accuracy: _Share | None
    n: _Count
    attack_success_rate: _Score | None = None
    missed_fracture_rate: _Score | None = None
    false_alarm_rate: _Score | None = None
    forward_per_image: _Number | None = None
    backward_per_image: _Number | None = None
    seconds: _Number | None = None


class _FurtherThreat(_Accuracy):
    norm: _Word
    epsilon: Epsilon
    attacks: dict[_Word, _Attack]


class _Kind(_Part):
    balanced_accuracy: _Number | None
    sensitivity: _Number | None
    specificity: _Number | None


class _KindBySeverity(_Kind):
    by_severity: dict[_Word, _Kind]


class _Corruptions(_Kind):
    kinds: dict[_Word, _KindBySeverity]


class _Subgroup(_Part):
    fact: _Text
    value: _Text
    fractured: _Count
    normal: _Count
    clean: _Score
    auroc: _Score
    robust: _Score


class _Counts(_Part):
    images: _Count
    fractured: _Count
    normal: _Count
    annotated: _Count
    groups: _Count


class _Contributions(_Part):
    """One entry for each image of the headline, in one order."""

    groups: list[str]
    fractured: list[bool]
    values: list[_Share | None]

    @model_validator(mode="after")
    def _of_one_length(self) -> _Contributions:
        if not len(self.groups) == len(self.fractured) == len(self.values):
            raise ValueError("lists of different length")
        return self


class _Mean(_Part):
    value: _Number | None
    n: _Count


class _Panel(_Score):
    value: _Aligned | None
    low: _Aligned | None
    high: _Aligned | None
    n: _Count


class _Calibrated(_Part):
    raw: _Number | None
    chance: _Number | None
    ceiling: _Number | None
    calibrated: _Number | None
    n: _Count


_Alignment = dict[_Word, dict[_Word, dict[_Word, _Calibrated]]]  # of explainer, metric, and attack or ``clean``


class _ByOutcome(_Part):
    true_positives: _Alignment
    survived: _Alignment
    flipped: _Alignment


class _Hits(_Part):
    clean: _Number | None
    attacked: _Number | None


class _RobustAlignment(_Part):
    attack: _Word
    attempted: _Count
    n: _Count
    clean: _Panel
    attacked: _Panel
    hit: _Hits


class _BlankMaps(_Part):
    blank: _Count
    n: _Count


class _Stability(_Part):
    rank_correlation: _Mean
    top_overlap: _Mean


class _Faithfulness(_Part):
    pixel_flipping: _Mean
    sparseness: _Mean


class _Spread(_Part):
    concentration: _Mean
    outside_anatomy: _Mean


class Row(_Part):
    """The fields of ``summary.json`` that the board reads."""

    submission: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: Annotated[OneLine, Field(max_length=200)]
    authors: Annotated[list[Annotated[OneLine, Field(max_length=200)]], Field(max_length=50)]
    control: bool
    spec: _Word
    spec_hash: _Word
    split: _Word
    home_split: _Word
    fingerprint: _Word
    dataset: _Word
    threat: _Word
    epsilon: Epsilon
    note: _Text
    trained_on: _Text
    training: _Training
    architecture: _Text
    parameters: _Count | None
    finished: _Text
    seconds: _Number
    passes: _Passes
    device: _Text
    reported: dict[_Text, _Number]
    overlap: _Overlap
    custom: bool
    metrics_backend: Backend
    ranked: bool
    unranked_because: list[_Text]
    panel: list[_Word]
    flags: list[_Flag]
    n: _Counts
    headline: _Score
    headline_per_explainer: dict[_Word, _Number | None]
    factors: _Factors
    contributions: _Contributions
    robust: _Robust
    clean: _Clean
    subgroups: Annotated[list[_Subgroup], Field(max_length=500)]
    worst_case: _Accuracy
    third_party: list[_Sender]
    attacks: dict[_Word, _Attack]
    curve: list[_Rung]
    curve_area: _Number | None
    adversarial_epsilon: dict[_Word, _Median]
    at_specificity: _AtSpecificity
    further_threats: list[_FurtherThreat]
    corruptions: _Corruptions
    calibrated_alignment: _Panel
    alignment: _Alignment
    alignment_by_outcome: _ByOutcome
    robust_alignment: _RobustAlignment | None
    blank_maps: dict[_Word, dict[_Word, _BlankMaps]]  # of explainer, and attack or ``clean``
    stability: dict[_Word, dict[_Word, _Stability]]
    faithfulness: dict[_Word, _Faithfulness]
    spread: dict[Literal["fractured", "normal"], dict[_Word, _Spread]]


def check_row(summary: dict[str, Any], where: str) -> None:
    """Raise ``InputError`` where a summary is not what ``run`` writes."""
    try:
        Row.model_validate(summary)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a summary of fracbench ({place}: {first['msg']}); run again") from None
