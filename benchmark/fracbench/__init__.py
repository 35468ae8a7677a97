"""fracbench: do fracture classifiers survive attack, and do they look at the fracture?

``import fracbench`` is light; submodules and ``evaluate`` load when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "alignment", "evaluate", "registry", "robustness", "schema", "testing"]

_SUBMODULES = ("alignment", "registry", "robustness", "schema", "testing")


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        return importlib.import_module("fracbench.notebook").evaluate
    if name in _SUBMODULES:
        return importlib.import_module(f"fracbench.{name}")
    raise AttributeError(f"module 'fracbench' has no attribute '{name}'")
