"""Training recipes: YAML files shipped with the package, one for each starter."""

from __future__ import annotations

from importlib.resources import as_file, files

from pydantic import BaseModel, ConfigDict, Field

from fracbench.errors import InputError, did_you_mean
from fracbench.schema import Name, PluginRef, ThreatSpec
from fracbench.yamlio import read


class Recipe(BaseModel):
    """How a starter is trained. With a ``threat`` it is adversarial training on ``attack``.

    The first ``clean_epochs`` see no attack, over the next ``warm_up_epochs`` epsilon grows to its full size.
    ``fracture_bias`` is added to the fracture logit of the finished network, for controls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    submission: Name
    title: str
    dataset: PluginRef
    image_size: int = Field(ge=16)
    model: PluginRef
    benchmarks: tuple[Name, ...]
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    seed: int = 0
    threat: ThreatSpec | None = None
    attack: PluginRef = PluginRef(name="pgd", params={"steps": 3})
    clean_epochs: int = Field(default=0, ge=0)
    warm_up_epochs: int = Field(default=0, ge=0)
    control: bool = False
    fracture_bias: float = 0.0


def names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(file.name.removesuffix(".yaml") for file in files(__name__).iterdir() if file.name.endswith(".yaml"))


def load(name: str) -> Recipe:
    """Read a shipped recipe; ``InputError`` with the nearest name when there is none."""
    if name not in names():
        raise InputError(f"unknown recipe '{name}'.{did_you_mean(name, names())} Recipes are: {', '.join(names())}")
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return read(path, Recipe)
