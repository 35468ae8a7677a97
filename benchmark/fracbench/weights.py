"""Weights into a model: strictly, without running anything a file may hold, and saying what does not fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fracbench.errors import InputError
from fracbench.state_pickle import Declared
from fracbench.weight_files import look

SHOWN = 3  # names listed of each kind of misfit
WRAPPERS = ("network.", "module.", "model.", "_orig_mod.")
ROOM = 4  # times the model's own bytes: float64 weights take twice, the zip and names some more
SLACK = 2**20  # bytes


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file, or a state dict that opens with ``weights_only=True``, into ``model``.

    Every tensor must be there with its shape and finite values, and no other; ``InputError`` says which are not.
    What the file declares is compared with the model before any value is read.
    """
    expected = model.state_dict()
    file = look(path, ROOM * sum(value.nbytes for value in expected.values()) + SLACK)
    misfit = _misfit(expected, _tensors(path, file.declared))
    if misfit:
        raise InputError(f"{path}: the weights do not fit the model: {misfit}; check the model's params and the file")
    try:
        state = file.read()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise InputError(
            f"{path}: cannot be opened as tensors alone ({reason:.200}); save the state dict again"
        ) from error
    broken = [name for name, value in state.items() if _broken(value, expected[name])]
    if broken:
        raise InputError(
            f"{path}: {_some(broken)} {'have' if len(broken) > 1 else 'has'} values that are NaN or infinite in the "
            "model; save the weights from before the training diverged"
        )
    model.load_state_dict(state, strict=True)


def _broken(value: Tensor, expected: Tensor) -> bool:
    """Not finite as the model will hold it, unless the untrained model's own is not: masks hold minus infinity."""
    return not value.to(expected.dtype).isfinite().all() and bool(expected.isfinite().all())


def _tensors(path: Path, found: Any) -> Mapping[str, Declared]:
    """The tensors that a file declares by name; ``InputError`` where it holds anything else, or more."""
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: holds a {type(found).__name__}; save the model's state_dict()")
    nested = [key for key, value in found.items() if isinstance(value, Mapping)]
    if nested:
        raise InputError(f"{path}: tensors are nested below {_some(nested)}; save the state dict alone")
    other = [key for key, value in found.items() if not isinstance(key, str) or not isinstance(value, Declared)]
    if other:
        raise InputError(f"{path}: {_some(other)} is no plain tensor; save the state dict alone")
    return found


def _misfit(expected: Mapping[str, Tensor], found: Mapping[str, Declared]) -> str:
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
        f"{key} is {found[key].shape!s:.80} where the model has {tuple(expected[key].shape)}"
        for key in both
        if found[key].shape != expected[key].shape
    ]
    kinds = [
        f"{key} is {found[key].dtype} where the model has {expected[key].dtype}"
        for key in both
        if found[key].dtype.is_floating_point != expected[key].dtype.is_floating_point or found[key].dtype.is_complex
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
