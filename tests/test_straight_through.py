"""Steps keep their values and gain the gradient of the identity, and only inside."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fracbench_plugins.attacks._straight_through import StraightThrough
from torch import Tensor

STEPPED: dict[str, Callable[[Tensor], Tensor]] = {
    "round": lambda x: (x * 31).round() / 31,
    "torch.floor": lambda x: torch.floor(x * 8) / 8,
    "round_": lambda x: (x * 31).round_() / 31,
    "byte": lambda x: (x * 255).byte().float() / 255,
    "to": lambda x: (x * 255).to(torch.int32).to(x.dtype) / 255,
    "greater": lambda x: torch.stack([(x > level / 8).float() for level in range(8)]).mean(0),
    "less": lambda x: 1 - torch.stack([(x <= level / 8).to(x.dtype) for level in range(8)]).mean(0),
}


@pytest.mark.parametrize("name", STEPPED)
def test_values_are_kept_and_the_gradient_is_the_identity(name: str) -> None:
    x = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    outside = STEPPED[name](x)
    given = x.clone().requires_grad_()
    with StraightThrough():
        inside = STEPPED[name](given)
    assert torch.allclose(inside.detach(), outside, atol=1e-6)
    (gradient,) = torch.autograd.grad(inside.sum(), given)
    assert torch.allclose(gradient, torch.ones_like(x), atol=1e-5)
    after = STEPPED[name](given)
    assert not after.requires_grad or not torch.autograd.grad(after.sum(), given)[0].any(), (
        "outside nothing has changed"
    )


def test_choices_and_true_bits_still_work_outside_and_choices_inside() -> None:
    x = torch.rand(10).requires_grad_()
    with StraightThrough():
        chosen = torch.where(x > 0.5, x, -x)
    assert torch.equal(chosen, torch.where(x > 0.5, x, -x))
    with StraightThrough(), pytest.raises((IndexError, RuntimeError, TypeError)):
        x[x > 0.5]
    with StraightThrough(comparisons=False):
        assert torch.equal(x[x > 0.5], x.detach()[x.detach() > 0.5])


def test_what_needs_no_gradient_is_left_alone() -> None:
    x = torch.rand(4)
    with StraightThrough():
        assert (x > 0.5).dtype == torch.bool and (x * 3).int().dtype == torch.int32
