"""Leaving a network as it was found, whatever a plugin does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_
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
        self._parts = _held(self.modules, _PARTS)
        self._forwards = [(vars(module), vars(module).get("forward")) for module in self.modules]
        tensors = (*self.parameters, *model.buffers())
        self._values = [(tensor, tensor.data, tensor.detach().clone()) for tensor in tensors]

    def put_back(self) -> None:
        _hand_back(self._parts)
        for own, forward in self._forwards:
            if own.get("forward") is not forward:
                own.pop("forward", None)
                own.update({"forward": forward} if forward else {})
        for tensor, data, before in self._values:
            tensor.data = data  # of another precision or shape, it could not hold them
            if not torch.equal(data, before):
                data.copy_(before)


_Held = list[tuple[dict[str, Any], str, dict[Any, Any], dict[Any, Any]]]


def _held(modules: list[nn.Module], names: tuple[str, ...]) -> _Held:
    """What modules keep under these names, and what is in it; a scripted one keeps none of it in Python."""
    places = ((vars(module), name) for module in modules for name in names)
    return [(own, name, of, dict(of)) for own, name in places if isinstance(of := own.get(name), dict)]


def _hand_back(held: _Held) -> None:
    for own, name, of, before in held:
        own[name] = of
        if not _same(of, before):
            of.clear()
            of.update(before)


def _same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two hold the very same, in one order, which decides what a container of modules computes."""
    return len(one) == len(other) and all(map(is_, one, other)) and all(map(is_, one.values(), other.values()))


# one for each model that is to be left as it was: to copy weights takes longer than to compare them
_found: WeakKeyDictionary[nn.Module, _Found] = WeakKeyDictionary()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without parameter gradients inside.

    After it modules, weights, buffers, mode, gradients, hooks and ``forward`` are as before, also after an error; what
    else Python can change about an object is not. Inside another one of the same model, modules, weights and buffers
    are those that the outer one found.
    """
    outer = _found.get(model)
    found = outer or _Found(model)
    modes = [(module, module.training) for module in found.modules]
    wanted = [(parameter, parameter.requires_grad, parameter.grad) for parameter in found.parameters]
    hooks = _held(found.modules, _HOOKS)
    if outer is None:  # last, since what stays behind would overwrite weights later
        _found[model] = found
    try:
        if any(training for _, training in modes):  # to tell each module takes a while
            model.eval()
        for parameter, requires_grad, _ in wanted:
            if requires_grad:
                parameter.requires_grad_(False)
        yield
    finally:
        if outer is None:
            del _found[model]
        found.put_back()
        for module, training in modes:
            if module.training != training:
                module.training = training
        for parameter, requires_grad, grad in wanted:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        _hand_back(hooks)


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
