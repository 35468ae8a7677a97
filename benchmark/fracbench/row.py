"""What a leaderboard row must hold before anything ranks, prints or draws it; files may come from strangers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fracbench.errors import InputError
from fracbench.schema import NAME_PATTERN, Backend
from fracbench.text import WORD_PATTERN, OneLine

# what the board shows: the limits that hold for submissions hold for results too
_Text = Annotated[OneLine, Field(max_length=2000)]
_Word = Annotated[str, Field(pattern=WORD_PATTERN)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Score(_Part):
    value: float | None
    low: float | None
    high: float | None


class _Factors(_Part):
    aligned_sensitivity: _Score
    robust_specificity: _Score


class _Accuracy(_Part):
    balanced_accuracy: _Score


class _Robust(_Accuracy):
    attack_success_rate: _Score
    missed_fracture_rate: _Score
    false_alarm_rate: _Score


class _Flag(_Part):
    name: _Word
    text: _Text
    images: int
    unranks: bool
    answered: bool


class _Overlap(_Part):
    such_images: bool
    by: Literal["hashes", "names"]
    images: int | None
    badge: _Text


class _Sender(_Part):
    by: _Word
    images: int
    lowered: int


class _Rung(_Part):
    epsilon: _Word
    balanced_accuracy: float | None
    sensitivity: float | None
    specificity: float | None


class _Median(_Part):
    median: float | None
    never_broken: int
    n: int


class _AtSpecificity(_Part):
    specificity: float | None
    clean: float | None
    robust: float | None
    n: int


class _Attack(_Part):
    """Costs are there for attacks that ran to their end."""

    robust_balanced_accuracy: float | None
    n: int
    attack_success_rate: _Score | None = None
    missed_fracture_rate: _Score | None = None
    false_alarm_rate: _Score | None = None
    forward_per_image: float | None = None
    backward_per_image: float | None = None
    seconds: float | None = None


class _FurtherThreat(_Accuracy):
    norm: _Word
    epsilon: _Word
    attacks: dict[_Word, _Attack]


class _Kind(_Part):
    balanced_accuracy: float | None
    sensitivity: float | None
    specificity: float | None


class _KindBySeverity(_Kind):
    by_severity: dict[_Word, _Kind]


class _Corruptions(_Kind):
    kinds: dict[_Word, _KindBySeverity]


class _Counts(_Part):
    images: int
    fractured: int
    normal: int
    annotated: int
    groups: int


class _Contributions(_Part):
    """One entry for each image of the headline, in one order."""

    groups: list[str]
    fractured: list[bool]
    values: list[float | None]

    @model_validator(mode="after")
    def _of_one_length(self) -> _Contributions:
        if not len(self.groups) == len(self.fractured) == len(self.values):
            raise ValueError("lists of different length")
        return self


class _Mean(_Part):
    value: float | None
    n: int


class _Panel(_Score):
    n: int


class _Calibrated(_Part):
    raw: float | None
    chance: float | None
    ceiling: float | None
    calibrated: float | None
    n: int


_Alignment = dict[_Word, dict[_Word, dict[_Word, _Calibrated]]]  # of explainer, metric, and attack or ``clean``


class _ByOutcome(_Part):
    true_positives: _Alignment
    survived: _Alignment
    flipped: _Alignment


class _Hits(_Part):
    clean: float | None
    attacked: float | None


class _RobustAlignment(_Part):
    attack: _Word
    attempted: int
    n: int
    clean: _Panel
    attacked: _Panel
    hit: _Hits


class _BlankMaps(_Part):
    blank: int
    n: int


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
    spec_hash: _Text
    split: _Word
    home_split: _Word
    fingerprint: _Text
    dataset: _Word
    threat: _Word
    epsilon: _Word
    note: _Text
    trained_on: _Text
    overlap: _Overlap
    custom: bool
    metrics_backend: Backend
    ranked: bool
    unranked_because: list[_Text]
    panel: list[_Word]
    flags: list[_Flag]
    n: _Counts
    headline: _Score
    factors: _Factors
    contributions: _Contributions
    robust: _Robust
    clean: _Accuracy
    worst_case: _Accuracy
    third_party: list[_Sender]
    attacks: dict[_Word, _Attack]
    curve: list[_Rung]
    curve_area: float | None
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
