"""Tie groups: p-values whose answer is known, Holm by hand, and groups that follow from them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from fracbench import ties

RNG = np.random.default_rng(5)


def entry(fractured: Any, normal: Any, groups: Any = None) -> dict[str, list[Any]]:
    values = [*map(float, fractured), *map(float, normal)]
    return {
        "groups": [str(g) for g in (range(len(values)) if groups is None else groups)],
        "fractured": [True] * len(fractured) + [False] * len(normal),
        "values": values,
    }


def p_value(one: Any, other: Any) -> float:
    return ties.p_values([one, other])[0, 1]


def flips(n: int, share: float) -> list[bool]:
    return list(np.arange(n) < round(n * share))


def test_the_headline_is_the_product_of_the_means() -> None:
    _, sums = ties.per_group(entry(flips(10, 0.5), flips(20, 0.8)))
    assert float(ties.headline(sums.sum(1))) == pytest.approx(0.4)


def test_p_is_that_of_all_permutations_on_a_small_board() -> None:
    one, other = entry([1, 1, 1, 0], [1, 1, 1]), entry([0, 0, 1, 0], [1, 0, 1])
    a, b = np.array(one["values"]), np.array(other["values"])

    def gap(swap: tuple[int, ...]) -> float:
        x, y = np.where(swap, b, a), np.where(swap, a, b)
        return float(x[:4].mean() * x[4:].mean() - y[:4].mean() * y[4:].mean())

    every = [abs(gap(swap)) for swap in itertools.product((0, 1), repeat=7)]
    exact = np.mean(np.array(every) >= abs(gap((0,) * 7)) - 1e-12)
    assert p_value(one, other) == pytest.approx(exact, abs=0.01)


def test_equal_entries_have_p_one_and_opposite_ones_the_smallest() -> None:
    one, other = entry([1] * 40, [1] * 40), entry([0] * 40, [0] * 40)
    assert p_value(one, one) == 1
    assert p_value(one, other) == pytest.approx(1 / (1 + ties.DRAWS))


def test_copies_of_a_patient_are_one_observation() -> None:
    fractured, worse = [1] * 6 + [0] * 6, [0] * 12
    alone = p_value(entry(fractured, [1] * 4), entry(worse, [1] * 4))
    copied = [g for g in range(12) for _ in range(5)]
    groups = [*copied, *(100 + i for i in range(20))]
    again = p_value(entry(np.repeat(fractured, 5), [1] * 20, groups), entry(np.repeat(worse, 5), [1] * 20, groups))
    assert again == pytest.approx(alone, abs=0.01)


def test_p_is_uniform_where_nothing_differs() -> None:
    values = [
        p_value(entry(RNG.random(30) < 0.5, RNG.random(30) < 0.7), entry(RNG.random(30) < 0.5, RNG.random(30) < 0.7))
        for _ in range(150)
    ]
    assert 0.0 <= np.mean(np.array(values) < 0.05) <= 0.11


def test_holm_by_hand() -> None:
    assert ties.holm([0.04, 0.01, 0.015]) == [True, True, True]
    assert ties.holm([0.04, 0.03, 0.001]) == [False, False, True]
    assert ties.holm([]) == []


def test_a_new_group_starts_at_the_first_entry_separated_from_its_leader() -> None:
    board = [entry(flips(60, share), flips(60, 1)) for share in (0.95, 0.9, 0.5, 0.45, 0.0)]
    assert ties.tie_groups(board) == [1, 1, 2, 2, 3]
    assert ties.tie_groups(board[:1]) == [1] and ties.tie_groups([]) == []


def test_more_entries_than_the_smallest_p_can_separate_are_one_group() -> None:
    good, bad = entry([1] * 30, [1] * 30), entry([0] * 30, [1] * 30)
    assert ties.tie_groups([good] * (ties.MOST - 1) + [bad])[-1] == 2
    smallest, pairs = 1 / (1 + ties.DRAWS), ties.MOST * (ties.MOST + 1) // 2
    assert smallest > ties.LEVEL / pairs and ties.tie_groups([good] * ties.MOST + [bad]) == [1] * (ties.MOST + 1)


def test_entries_on_other_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different images"):
        p_value(entry([1, 0], [1]), entry([1, 0], [1], ["x", "y", "z"]))
