"""What a leaderboard row must hold before anything ranks, prints or draws it; files may come from strangers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from fracbench.errors import InputError

# what the board shows: the limits that hold for submissions hold for results too
from fracbench.row_parts import (
    Accuracy,
    Alignment,
    AtSpecificity,
    Attack,
    BlankMaps,
    ByOutcome,
    Clean,
    Contributions,
    Corruptions,
    Count,
    Counts,
    Factors,
    Faithfulness,
    Flag,
    FurtherThreat,
    Median,
    Number,
    Overlap,
    Panel,
    Part,
    Passes,
    Robust,
    RobustAlignment,
    Rung,
    Score,
    Sender,
    Spread,
    Stability,
    Subgroup,
    Text,
    Training,
    Word,
)
from fracbench.schema import NAME_PATTERN, Backend, Epsilon
from fracbench.text import OneLine


class Row(Part):
    """The fields of ``summary.json`` that the board reads."""

    submission: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: Annotated[OneLine, Field(max_length=200)]
    authors: Annotated[list[Annotated[OneLine, Field(max_length=200)]], Field(max_length=50)]
    control: bool
    spec: Word
    spec_hash: Word
    split: Word
    home_split: Word
    fingerprint: Word
    dataset: Word
    threat: Word
    epsilon: Epsilon
    note: Text
    trained_on: Text
    training: Training
    architecture: Text
    parameters: Count | None
    finished: Text
    seconds: Number
    passes: Passes
    device: Text
    reported: dict[Text, Number]
    overlap: Overlap
    custom: bool
    metrics_backend: Backend
    ranked: bool
    unranked_because: list[Text]
    panel: list[Word]
    flags: list[Flag]
    n: Counts
    headline: Score
    headline_per_explainer: dict[Word, Number | None]
    factors: Factors
    contributions: Contributions
    robust: Robust
    clean: Clean
    subgroups: Annotated[list[Subgroup], Field(max_length=500)]
    worst_case: Accuracy
    third_party: list[Sender]
    attacks: dict[Word, Attack]
    curve: list[Rung]
    curve_area: Number | None
    adversarial_epsilon: dict[Word, Median]
    at_specificity: AtSpecificity
    further_threats: list[FurtherThreat]
    corruptions: Corruptions
    calibrated_alignment: Panel
    alignment: Alignment
    alignment_by_outcome: ByOutcome
    robust_alignment: RobustAlignment | None
    blank_maps: dict[Word, dict[Word, BlankMaps]]  # of explainer, and attack or ``clean``
    stability: dict[Word, dict[Word, Stability]]
    faithfulness: dict[Word, Faithfulness]
    spread: dict[Literal["fractured", "normal"], dict[Word, Spread]]


def check_row(summary: dict[str, Any], where: str) -> None:
    """Raise ``InputError`` where a summary is not what ``run`` writes."""
    try:
        Row.model_validate(summary)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a summary of fracbench ({place}: {first['msg']}); run again") from None
