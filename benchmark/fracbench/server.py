"""Imported once by the process that those of models are forked from: what all of them need.

Plugins of others are imported in the process that ends when they misbehave.
"""

import atexit
import contextlib
import importlib
import os

from fracbench import quiet, registry  # isort: skip  # the first keeps quiet what the others import
from fracbench import inside

__all__ = ["inside", "quiet"]

for kind in registry.KINDS:
    for listing in registry.listings(kind):
        if listing.package == "fracbench":
            with contextlib.suppress(ImportError):  # of an extra
                importlib.import_module(listing.module)
for library in ("quantus", "pyarrow.parquet"):  # which faithfulness is measured by, and cells are written with
    importlib.import_module(library)

atexit.register(os._exit, 0)  # to take down what was imported would take seconds
