"""Refuses field values that would turn an attack round, or leave it standing."""

from __future__ import annotations

import math


def at_least_one(**values: int) -> None:
    """Counts of steps, restarts and the like."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")


def between(low: float, high: float, **values: float) -> None:
    """Both ends included; NaN lies between nothing."""
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; it must lie between {low:g} and {high:g}")


def positive(**values: float | None) -> None:
    """Finite and above zero; None stands for a default and passes."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; it must be positive and finite")
