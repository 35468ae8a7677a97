"""The type checker of jaxtyping: shapes and kinds of what is annotated as a tensor, and nothing else.

``pytest`` imports the packages under it (``--jaxtyping-packages`` in pyproject.toml). All other types, and
tensors inside of tuples and unions, are mypy's work: to check them would forbid the stand-ins that tests pass.
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
    written = {name: of.annotation for name, of in signature.parameters.items()} | {
        "return": signature.return_annotation
    }
    known = {name: hint for name, hint in written.items()
             if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)}  # fmt: skip

    if not known:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name in known.keys() & given.keys():
            _require(given[name], known[name])
        found = function(*args, **kwargs)
        if "return" in known:
            _require(found, known["return"])
        return found

    return checked


def _require(value: Any, hint: Any) -> None:
    """jaxtyping says which argument it was, and of what shape."""
    if not isinstance(value, hint):
        raise TypeError(f"not {hint.__name__}")
