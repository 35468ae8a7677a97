"""Leaving a network as it was found, whatever a plugin does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
          "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called")  # fmt: skip
_PARTS = ("_parameters", "_buffers", "_modules")


class _Found:
    """A network's modules, what they are made of, and the values of its weights and buffers."""

    def __init__(self, model: nn.Module) -> None:
        self.modules, self.parameters = list(model.modules()), list(model.parameters())
        parts = (getattr(module, name) for module in self.modules for name in _PARTS)
        self._parts = [(of, dict(of)) for of in parts if isinstance(of, dict)]  # those of a scripted module are none
        self._forwards = [(vars(module), vars(module).get("forward")) for module in self.modules]
        tensors = (*self.parameters, *model.buffers())
        self._values = [(tensor, tensor.data, tensor.detach().clone()) for tensor in tensors]

    def put_back(self) -> None:
        for live, parts in self._parts:
            if live.keys() != parts.keys() or any(live[name] is not part for name, part in parts.items()):
                _refill(live, parts)
        for own, forward in self._forwards:
            if own.get("forward") is not forward:
                own.pop("forward", None)
                own.update({"forward": forward} if forward else {})
        for tensor, data, before in self._values:
            tensor.data = data  # of another precision or shape, it could not hold them
            if not torch.equal(data, before):
                data.copy_(before)


def _refill(live: dict[Any, Any], before: dict[Any, Any]) -> None:
    live.clear()
    live.update(before)


# one for each model that is to be left as it was: to copy weights takes longer than to compare them
_found: WeakKeyDictionary[nn.Module, _Found] = WeakKeyDictionary()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without parameter gradients inside.

    After it modules, weights, buffers, mode, gradients, hooks and ``forward`` are as before, also after an error; what
    else Python can change about an object is not. Inside another one of the same model, modules, weights and buffers
    are those that the outer one found.
    """
    found, outermost = _found.get(model), model not in _found
    found = found or _Found(model)
    modes = [(module, module.training) for module in found.modules]
    wanted = [(parameter, parameter.requires_grad, parameter.grad) for parameter in found.parameters]
    hooks = [
        (of, dict(of)) for module in found.modules for name in _HOOKS if isinstance(of := getattr(module, name), dict)
    ]
    if outermost:  # last, since what stays behind would overwrite weights later
        _found[model] = found
    try:
        if any(training for _, training in modes):  # to tell each module takes a while
            model.eval()
        for parameter, requires_grad, _ in wanted:
            if requires_grad:
                parameter.requires_grad_(False)
        yield
    finally:
        if outermost:
            del _found[model]
        found.put_back()
        for module, training in modes:
            if module.training != training:
                module.training = training
        for parameter, requires_grad, grad in wanted:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        for live, before in hooks:
            if live != before:
                _refill(live, before)


@contextmanager
def out_of_place(model: nn.Module) -> Iterator[None]:
    """Inside, activations write to new tensors: in place they overwrite what attribution methods hook."""
    changed = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    for module in changed:
        module.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True  # type: ignore[assignment]
