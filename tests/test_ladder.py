"""The bisection of the ladder, against attacking every rung."""

from __future__ import annotations

import pytest
import torch
from fracbench.ladder import Brackets, rounds
from hypothesis import given
from hypothesis import strategies as st

EPSILONS = [2**k / 255 for k in range(-3, 4)]


def climb(first_broken: torch.Tensor, reference: int, distances: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
    """Bisect images that break at known rungs; the brackets and how often each image was attacked."""
    brackets = Brackets(EPSILONS, first_broken >= 0)
    brackets.survives(first_broken > reference, reference)
    brackets.breaks(first_broken <= reference, reference)
    if distances is not None:
        brackets.breaks_from(distances)
    attacked = torch.zeros_like(first_broken)

    def robust_at(rung: int, which: torch.Tensor) -> torch.Tensor:
        attacked[which] += 1
        return first_broken[which] > rung

    brackets.place(robust_at)
    return brackets, attacked


@given(st.lists(st.integers(-1, len(EPSILONS)), min_size=1, max_size=30), st.integers(0, len(EPSILONS) - 1))
def test_every_image_is_placed_where_it_breaks(breaks: list[int], reference: int) -> None:
    first_broken = torch.tensor(breaks)
    brackets, attacked = climb(first_broken, reference)
    assert torch.equal(brackets.broken, first_broken.clamp_min(0))
    assert torch.equal(brackets.survived, first_broken.clamp_min(0) - 1)
    assert attacked.max() <= rounds(len(EPSILONS), reference)
    assert not attacked[first_broken < 0].any(), "an image that is wrong without attack is never attacked"


def test_a_known_adversarial_distance_saves_attacks() -> None:
    first_broken = torch.full((8,), 3)
    distances = torch.tensor([EPSILONS[3]] * 4 + [torch.inf] * 4)
    brackets, attacked = climb(first_broken, 2, distances)
    assert (brackets.broken == 3).all()
    assert not attacked[:4].any() and attacked[4:].all()
    nearer, _ = climb(torch.full((8,), 6), 2, torch.full((8,), EPSILONS[4] * 0.9))
    assert (nearer.broken == 4).all(), "what lies nearer than a rung breaks there, though its attack failed"


def test_a_distance_that_float32_rounds_up_belongs_to_its_rung() -> None:
    brackets = Brackets(EPSILONS, torch.ones(1, dtype=torch.bool))
    brackets.breaks_from(torch.tensor([EPSILONS[3]], dtype=torch.float32) * (1 + 1e-6))
    assert brackets.broken.tolist() == [3]


@pytest.mark.parametrize("rungs, reference, most", [(6, 1, 3), (8, 3, 3), (6, 0, 3), (1, 0, 0)])
def test_rounds(rungs: int, reference: int, most: int) -> None:
    assert rounds(rungs, reference) == most
