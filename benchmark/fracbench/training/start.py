"""Which trained network a recipe goes on from: one of the recipe it names, with the same model and seed."""

from __future__ import annotations

from pathlib import Path

from fracbench.errors import InputError
from fracbench.recipes import Architecture, Recipe
from fracbench.submissions import Entry, discover, weights_file


def start_of(
    recipe: Recipe, architecture: Architecture, out: Path, seed: int, named: str | None
) -> tuple[Entry, Path] | None:
    """The submission beside ``out`` that ``recipe`` goes on from, and its weights; None for a recipe without start."""
    if recipe.start is None:
        if named is not None:
            raise InputError(f"{recipe.name} goes on from nothing; leave --start out")
        return None
    beside = out.resolve().parent
    entries = discover(beside, None) if any(beside.glob("*/submission.yaml")) else []
    asked = recipe.start, seed, architecture.model
    fitting = [
        entry
        for entry in entries
        if (entry.submission.training.recipe, entry.submission.training.seed, entry.submission.model) == asked
        and named in (None, entry.name)
    ]
    if not fitting:
        which = "" if named is None else f" as {named}"
        raise InputError(
            f"{recipe.name} goes on from {recipe.start} with the same architecture and seed, which is not in "
            f"{beside}{which}; train that first: fracbench train {recipe.start} --seed {seed}, with the same "
            "--architecture"
        )
    if len(fitting) > 1:
        names = ", ".join(entry.name for entry in fitting)
        raise InputError(f"{recipe.name} could go on from any of {names}; choose one with --start")
    path = weights_file(fitting[0])
    if path is None:
        raise InputError(
            f"{fitting[0].name} has no weights to go on from; train it again: fracbench train {recipe.start}"
        )
    return fitting[0], path
