"""Lets gradients through steps: backward pass differentiable approximation (Athalye et al. 2018, arXiv 1802.00420)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def _named(*names: str) -> set[Any]:
    return {getattr(place, name) for place in (torch, Tensor) for name in names if hasattr(place, name)}


STEPS = _named("round", "floor", "ceil", "trunc", "fix", "sign", "sgn")
IN_PLACE = _named("round_", "floor_", "ceil_", "trunc_", "sign_")
RISING = _named("gt", "ge", "greater", "greater_equal", "__gt__", "__ge__")
FALLING = _named("lt", "le", "less", "less_equal", "__lt__", "__le__")
CASTS = _named("int", "long", "short", "byte", "to", "type")
CHOICE = _named("where")


class StraightThrough(TorchFunctionMode):
    """Inside, steps have the gradient of the identity, and the values that they have outside.

    Steps are rounding and sign; with ``comparisons`` also comparisons and casts to integers, whose results are then
    0.0 and 1.0, or whole floats. A network that uses those as indices or bits raises inside, and not outside.
    """

    def __init__(self, comparisons: bool = True) -> None:
        super().__init__()
        self.comparisons = comparisons

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        value = args[0] if args else given.get("input")
        if func in CHOICE and args and isinstance(value, Tensor) and value.is_floating_point():
            return func(value > 0.5, *args[1:], **given)
        if not isinstance(value, Tensor) or not value.is_floating_point() or not _followed(*args, *given.values()):
            return func(*args, **given)
        if func in STEPS or func in IN_PLACE:
            through = _through(func(value.detach().clone(), *args[1:], **given), value)
            return value.copy_(through) if func in IN_PLACE else through
        if self.comparisons and func in RISING | FALLING:
            other = args[1] if len(args) > 1 else given["other"]
            return _through(func(*args, **given), value - other if func in RISING else other - value)
        if self.comparisons and func in CASTS:
            result = func(*args, **given)
            return result if result.is_floating_point() else _through(result, value)
        return func(*args, **given)


def _followed(*given: Any) -> bool:
    return any(isinstance(one, Tensor) and one.requires_grad for one in given)


def _through(stepped: Tensor, smooth: Tensor) -> Tensor:
    """The values of one with the gradient of the other."""
    return smooth + (stepped.to(smooth.dtype) - smooth).detach()
