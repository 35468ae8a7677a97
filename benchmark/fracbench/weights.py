"""Weights into a model: strictly, without running anything a file may hold, and saying what does not fit."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fracbench.errors import InputError
from fracbench.state_pickle import Declared
from fracbench.weight_files import look

SHOWN = 3  # names listed of each kind of misfit
FITTING = 0.9  # share of the model's names that a prefix has to explain
DEPTH = 4  # dots within a prefix
LONGEST = 200  # characters of a name in which it is looked for
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
        raise InputError(f"{path}: the weights do not fit the model: {misfit}")
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
    """What is wrong in one line, and what to do, or an empty string."""
    missing, surplus = set(expected) - set(found), set(found) - set(expected)
    both = sorted(set(expected) & set(found))
    other = [key for key in both if found[key].shape != expected[key].shape]
    shapes = [f"{key} is {found[key].shape!s:.80} where the model has {tuple(expected[key].shape)}" for key in other]
    kinds = [
        f"{key} is {found[key].dtype} where the model has {expected[key].dtype}"
        for key in both
        if found[key].dtype.is_floating_point != expected[key].dtype.is_floating_point or found[key].dtype.is_complex
    ]
    if missing and surplus and (prefixes := _prefixes(expected, found)):
        return _renaming(*prefixes)
    parts = [f"{len(of)} {what} ({_some(of)})" for what, of in (("missing", missing), ("unknown", surplus)) if of]
    parts += shapes[:SHOWN] + kinds[:SHOWN]
    return f"{'; '.join(parts)}; {_advice(expected, found, other)}" if parts else ""


def _prefixes(expected: Mapping[str, Tensor], found: Mapping[str, Declared]) -> tuple[str, str] | None:
    """The prefix to take off the names in a file and the one to put there, where nearly all then are the model's."""

    def fitting(pair: tuple[str, str]) -> int:
        wrong, right = pair
        return len({right + key.removeprefix(wrong) for key in found if key.startswith(wrong)} & set(expected))

    pairs = list(itertools.product(_shared(found), _shared(expected)))
    best = max(pairs, key=fitting)
    return best if fitting(best) > max(fitting(("", "")), FITTING * len(expected)) else None


def _shared(names: Iterable[str]) -> list[str]:
    """No prefix, and those up to a dot that most of the names have."""
    ordered = list(names)
    counts = Counter(
        ".".join(parts[:depth]) + "."
        for parts in (name[:LONGEST].split(".") for name in ordered)
        for depth in range(1, min(len(parts), DEPTH + 1))
    )
    return ["", *(prefix for prefix, times in counts.items() if times > len(ordered) / 2)]


def _renaming(wrong: str, right: str) -> str:
    if not wrong:
        return f"its names lack the prefix '{right}'; put it before each"
    if not right:
        return f"its names have a prefix '{wrong}'; take it off"
    return f"its names begin with '{wrong}'; put '{right}' in its place"


def _advice(expected: Mapping[str, Tensor], found: Mapping[str, Declared], other: Iterable[str]) -> str:
    """What to do about names or shapes that are not the model's."""
    if sum(key in found for key in expected) < len(expected) / 2:
        return "they seem to be of another architecture; name theirs in the model's params"
    changed = [(tuple(found[key].shape), tuple(expected[key].shape)) for key in other]
    channels = {was[1] for was, wanted in changed if len(was) == len(wanted) == 4 and wanted[1] in (1, 3)
                and (was[0], *was[2:]) == (wanted[0], *wanted[2:])}  # fmt: skip
    outputs = {was[0] for was, wanted in changed if len(was) == len(wanted) < 3 and was[1:] == wanted[1:]}
    apart = len(set(expected) ^ set(found))
    if len(changed) > len(channels) + 2 * len(outputs) or apart > (1 - FITTING) * len(expected):
        return "they seem to be of another size of this architecture; name theirs in the model's params"
    advice = []
    if channels & {1, 3}:
        advice.append(f"they take {min(channels)} channel(s): write channels: {min(channels)} in the model's params")
    if outputs == {1}:
        advice.append("they end in one logit: write logits: 1 in the model's params")
    elif outputs:
        advice.append(f"they end in {min(outputs)} classes: train a last layer with two logits")
    return ", and ".join(advice) or "check the model's params and the file"


def _some(names: Iterable[Any]) -> str:
    ordered = sorted(str(name)[:80] for name in names)
    return ", ".join(ordered[:SHOWN]) + (", ..." if len(ordered) > SHOWN else "")
