"""Which rows of a store a study may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.errors import InputError
from fracbench.keyed import digest
from fracbench.study.studied import Studied, read


def models_of(
    rows: Sequence[Mapping[str, Any]], spec: BenchmarkSpec
) -> tuple[list[Studied], dict[str, list[Studied]], list[str]]:
    """Ranked models and controls of a benchmark, the same on its other splits, and a line for each row left out.

    ``rows`` are those of a leaderboard; of several datasets the one of most rows is kept. Raises ``InputError`` where
    there are none.
    """
    ours = [row for row in rows if row["spec"] == spec.name]
    left = [f"{_named(row)}: it was run on other images or with other options" for row in ours if row["custom"]]
    mine = [row for row in ours if not row["custom"]]
    rules = digest(spec.decisive())
    left += [f"{_named(row)}: it was run by other rules" for row in mine if row["spec_hash"] != rules]
    mine = [row for row in mine if row["spec_hash"] == rules]
    at_home = [row for row in mine if row["split"] == spec.split]
    if not at_home:
        raise InputError(f"there are no results of {spec.name}; type: fracbench run --all --benchmark {spec.name}")
    elsewhere = sorted({row["split"] for row in mine} - {spec.split})
    shifted = {split: _read([row for row in mine if row["split"] == split], left) for split in elsewhere}
    return _read(at_home, left), shifted, left


def usable(row: Mapping[str, Any]) -> bool:
    """Whether a row is this user's own, or verified, and ranked or a control."""
    return row["ranked"] or (row["control"] and not row["self_reported"])


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['submission']} on {row['split']}"


def _read(rows: Sequence[Mapping[str, Any]], left: list[str]) -> list[Studied]:
    """The models of one split, on the data of most rows that count."""
    counted = [row for row in rows if usable(row)] or rows
    ((data, _),) = Counter(row["fingerprint"] for row in counted).most_common(1)
    left += [f"{_named(row)}: it was run on other data" for row in rows if row["fingerprint"] != data]
    kept = [row for row in rows if row["fingerprint"] == data]
    left += [f"{_named(row)}: {'; '.join(row['unranked_because'])}" for row in kept if not usable(row)]
    return read([row for row in kept if usable(row)], left)
