"""Which rows of a board a reader asked to see: pure functions of rows and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fracbench.study.studied import NO_THREAT

from fracbench_leaderboard.table import NOT_STATED

Row = Mapping[str, Any]


def training_kind(row: Row) -> str:
    """``adversarial`` where a threat model of its training is stated, else ``standard`` or ``not stated``."""
    threat = row["training"]["threat"]
    if threat and threat.casefold() not in NO_THREAT:
        return "adversarial"
    return NOT_STATED if row["trained_on"] == NOT_STATED else "standard"


def finished(row: Row) -> date | None:
    try:
        return date.fromisoformat(row["finished"][:10])
    except ValueError:
        return None


@dataclass(frozen=True)
class Filters:
    """What a row must be to be shown; an empty choice asks for nothing."""

    words: str = ""
    training: Sequence[str] = ()
    architectures: Sequence[str] = ()
    most_parameters: float | None = None  # millions
    since: date | None = None
    ranked: bool = False

    def keeps(self, row: Row) -> bool:
        text = " ".join([row["submission"], row["title"], *row["authors"], row["architecture"]]).casefold()
        if not all(word in text for word in self.words.casefold().split()):
            return False
        if self.training and training_kind(row) not in self.training:
            return False
        if self.architectures and row["architecture"] not in self.architectures:
            return False
        size = row["parameters"]
        if self.most_parameters is not None and (size is None or size > 1e6 * self.most_parameters):
            return False
        if self.since is not None and ((on := finished(row)) is None or on < self.since):
            return False
        return row["rank"] is not None or not self.ranked


def architectures(rows: Sequence[Row]) -> list[str]:
    return sorted({row["architecture"] for row in rows} - {""})


def training_kinds(rows: Sequence[Row]) -> list[str]:
    return sorted({training_kind(row) for row in rows})
