"""Checks the shapes and kinds of tensors that annotations name, and nothing else of them: a type checker for jaxtyping.

``pytest`` imports the packages under it (``--jaxtyping-packages`` in pyproject.toml). All other types are mypy's work,
and would forbid the stand-ins that tests pass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises ``TypeError`` for an argument or result that is no tensor as annotated."""
    signature = inspect.signature(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        written = {name: of.annotation for name, of in signature.parameters.items()}
        return {name: found for name, hint in (written | {"return": signature.return_annotation}).items()
                if (found := _array(hint, function)) is not None}  # fmt: skip

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        known = hints()
        if known:
            given = signature.bind(*args, **kwargs).arguments
            for name in known.keys() & given.keys():
                _require(name, given[name], known[name], function)
        found = function(*args, **kwargs)
        if "return" in known:
            _require("what it returns", found, known["return"], function)
        return found

    return checked


def _array(hint: Any, function: Callable[..., Any]) -> Any:
    """The annotation of a tensor, from its text where annotations are postponed; None for what is no tensor."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, getattr(function, "__globals__", {}))
        except Exception:  # a name that is imported for mypy alone
            return None
    return hint if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray) else None


def _require(name: str, value: Any, hint: Any, function: Callable[..., Any]) -> None:
    if not isinstance(value, hint):
        got = f"{value.dtype} {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
        raise TypeError(f"{function.__qualname__}: {name} is {got}, not {hint.__name__}")
