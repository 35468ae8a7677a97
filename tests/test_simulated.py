"""The board's statistics where the truth is known, on fewer worlds than ``tests/simulated.py`` draws."""

from __future__ import annotations

import pytest
from simulated import (
    COVERING,
    WORLDS,
    alike_level,
    coverage,
    family_wise_error,
    pairs_level,
    relations_level,
    swap_level,
)

COVERED, LEVEL = 0.93, 0.05


@pytest.mark.parametrize("world", WORLDS)
def test_intervals_of_factors_and_of_their_product_hold_the_truth(world: str) -> None:
    for line in coverage(*WORLDS[world], 60, 200):
        assert line["high"] >= COVERED, line


def test_equal_entries_rarely_stand_apart() -> None:
    line = family_wise_error(5, 60, 100)
    assert line["low"] <= LEVEL, line


@pytest.mark.slow
def test_a_p_is_at_most_its_level_where_nothing_differs() -> None:
    lines = [*swap_level(60, 100), *pairs_level(8, 200), *relations_level(12, 150)]
    known, architectures = alike_level(8, 3, 200)
    assert known["low"] > LEVEL, "seeds that are alike are no pairs of their own"
    lines.append(architectures)
    assert len(lines) > 10
    for line in lines:
        held = line["high"] >= COVERED if line["what"] in COVERING else line["low"] <= LEVEL
        assert held, line


def test_a_wrong_interval_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracbench.stats.wilson", lambda mean, n, level: (mean, mean))
    assert any(line["high"] < COVERED for line in coverage(*WORLDS["images"], 60, 50))
