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
    found = discover(beside, None) if any(beside.glob("*/submission.yaml")) else []
    entries = [entry for entry in found if entry.folder.resolve() != out.resolve()]  # nothing is its own start
    asked = recipe.start, seed, architecture.model
    fitting = {
        entry.name: entry
        for entry in entries
        if (entry.submission.training.recipe, entry.submission.training.seed, entry.submission.model) == asked
    }
    if not fitting:
        raise InputError(
            f"{recipe.name} goes on from {recipe.start} with the same architecture and seed, which is not in {beside}; "
            f"train that first: fracbench train {recipe.start} --seed {seed} --out {beside}/NAME, with the same "
            "--architecture"
        )
    if named is not None and named not in fitting:
        raise InputError(f"{recipe.name} cannot go on from '{named}'; what fits in {beside}: {', '.join(fitting)}")
    if named is None and len(fitting) > 1:
        raise InputError(f"{recipe.name} could go on from any of {', '.join(fitting)}; choose one with --start")
    chosen = fitting[named or next(iter(fitting))]
    path = weights_file(chosen)
    if path is None:
        raise InputError(f"{chosen.name} has no weights to go on from; train it again: fracbench train {recipe.start}")
    return chosen, path
