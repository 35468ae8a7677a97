"""What a recipe goes on from: a network of the recipe it names, with the same model and seed, or ImageNet weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fracbench.errors import InputError
from fracbench.recipes import Architecture, Recipe, load
from fracbench.submissions import file_hash, survey, weights_file
from fracbench.training import pretrained
from fracbench.weights import load_weights


@dataclass(frozen=True)
class Start:
    """A file of weights, what it is recorded as, what reads it into a network, and where it comes from."""

    path: Path
    record: dict[str, str]
    load: Callable[[nn.Module, Path], None]
    links: tuple[str, ...] = ()


def start_of(recipe: Recipe, architecture: Architecture, out: Path, seed: int, named: str | None) -> Start | None:
    """The submission beside ``out`` that ``recipe`` goes on from; None for a recipe without start.

    It may be for images of another size. In the place of a network trained on other images than the recipe's, an
    architecture's own ``pretrained`` weights.
    """
    if recipe.start is None:
        if named is not None:
            raise InputError(f"{recipe.name} goes on from nothing; leave --start out")
        return None
    if architecture.pretrained is not None and load(recipe.start).dataset.name != recipe.dataset.name:
        if named is not None:
            raise InputError(
                f"{architecture.title} goes on from the package {architecture.pretrained}; leave --start out"
            )
        file = pretrained.file_of(architecture.pretrained)
        record = {"package": architecture.pretrained, "sha256": file_hash(file)}
        return Start(file, record, pretrained.load, (f"https://pypi.org/project/{architecture.pretrained}/",))
    beside = out.resolve().parent
    # a neighbour that cannot be read is nobody's start
    found = survey(beside, None)[0] if any(beside.glob("*/submission.yaml")) else []
    entries = [entry for entry in found if entry.folder.resolve() != out.resolve()]  # nothing is its own start
    asked = recipe.start, seed, recipe.sized(architecture.model)
    fitting = {
        entry.name: entry
        for entry in entries
        if (entry.submission.training.recipe, entry.submission.training.seed, recipe.sized(entry.submission.model))
        == asked
    }
    if not fitting:
        raise InputError(
            f"{recipe.name} goes on from {recipe.start} with the same architecture and seed, which is not in {beside}; "
            f"copy it there, or train it: fracbench train {recipe.start} --seed {seed} --out {beside}/NAME, with the "
            "same --architecture"
        )
    if named is not None and named not in fitting:
        raise InputError(f"{recipe.name} cannot go on from '{named}'; what fits in {beside}: {', '.join(fitting)}")
    if named is None and len(fitting) > 1:
        raise InputError(f"{recipe.name} could go on from any of {', '.join(fitting)}; choose one with --start")
    chosen = fitting[named or next(iter(fitting))]
    path = weights_file(chosen)
    if path is None:
        raise InputError(f"{chosen.name} has no weights to go on from; train it again: fracbench train {recipe.start}")
    record = {"submission": chosen.name, "sha256": file_hash(path)}
    return Start(path, record, load_weights, chosen.submission.links)
