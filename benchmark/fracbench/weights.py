"""Weights into a model: strictly, without running anything a file may hold, and saying what does not fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fracbench.errors import InputError

SHOWN = 3  # names listed of each kind of misfit
WRAPPERS = ("network.", "module.", "model.", "_orig_mod.")


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file, or a state dict that opens with ``weights_only=True``, into ``model``.

    Every tensor must be there with its shape, and no other; ``InputError`` says which are not.
    """
    state = _read(path)
    misfit = _misfit(model.state_dict(), state)
    if misfit:
        raise InputError(f"{path}: the weights do not fit the model: {misfit}; check the model's params and the file")
    model.load_state_dict(state, strict=True)


def _read(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name; what cannot be opened without running code, or is no plain tensor, is an ``InputError``."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise InputError(
            f"{path}: cannot be opened as tensors alone ({reason}); save a state dict, best as safetensors"
        ) from error
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: holds a {type(state).__name__}; save the model's state_dict()")
    nested = [key for key, value in state.items() if isinstance(value, Mapping)]
    if nested:
        raise InputError(f"{path}: tensors are nested below {_some(nested)}; save the state dict alone")
    other = [key for key, value in state.items() if not isinstance(key, str) or not _is_plain(value)]
    if other:
        raise InputError(f"{path}: {_some(other)} is no plain tensor; save the state dict alone")
    return state


def _is_plain(value: object) -> bool:
    """A dense tensor with values: not sparse, quantised, nested or without storage."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_nested or value.is_meta:
        return False
    return value.layout is torch.strided


def _misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What is wrong in one line, or an empty string."""
    missing, surplus = set(expected) - set(found), set(found) - set(expected)
    if missing and surplus:
        for wrong, right in itertools.product(("", *WRAPPERS), repeat=2):
            if all(key.startswith(wrong) for key in found) and set(expected) == {
                right + key.removeprefix(wrong) for key in found
            }:
                return _renaming(wrong, right)
    parts = [f"{len(of)} {what} ({_some(of)})" for what, of in (("missing", missing), ("unknown", surplus)) if of]
    both = sorted(set(expected) & set(found))
    shapes = [
        f"{key} is {tuple(found[key].shape)} where the model has {tuple(expected[key].shape)}"
        for key in both
        if found[key].shape != expected[key].shape
    ]
    kinds = [
        f"{key} is {found[key].dtype} where the model has {expected[key].dtype}"
        for key in both
        if found[key].is_floating_point() != expected[key].is_floating_point() or found[key].is_complex()
    ]
    return "; ".join(parts + shapes[:SHOWN] + kinds[:SHOWN])


def _renaming(wrong: str, right: str) -> str:
    if not wrong:
        return f"its names lack the prefix '{right}'; put it before each"
    if not right:
        return f"its names have a prefix '{wrong}'; take it off"
    return f"its names begin with '{wrong}'; put '{right}' in its place"


def _some(names: Iterable[Any]) -> str:
    ordered = sorted(str(name)[:80] for name in names)
    return ", ".join(ordered[:SHOWN]) + (", ..." if len(ordered) > SHOWN else "")
