"""The five things a plugin can be. This is the one file a plugin author has to read.

A plugin is a factory, usually a frozen dataclass: its fields are the parameters a benchmark spec or a
submission may set, and the instance is called as below. Register it as an entry point
``fracbench.<kind>`` or, in notebooks and tests, with ``fracbench.registry.register(kind, name)``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fracbench.errors import InputError, Unsupported
from fracbench.schema import ThreatModel
from fracbench.tensors import Attributions, Images, Labels, Logits, Maps, Margins, Masks, Scores

T = TypeVar("T")
SIGNS = ("positive", "absolute")
DECLARED = {"attacks": ("passes",), "explainers": ("sign", "passes"), "metrics": ("name", "higher_is_better")}

__all__ = [
    "AlignmentMetric",
    "Attack",
    "Dataset",
    "Ensemble",
    "Explainer",
    "InputError",
    "MarginModel",
    "Model",
    "Radiograph",
    "Sample",
    "Unsupported",
    "label_margin",
]


class Model(Protocol):
    """Images in [0, 1] to two logits (no fracture, fracture); usually a ``torch.nn.Module``.

    Normalising, repeating the channel and resizing happen inside, differentiably. A network with one
    logit z is wrapped to (-z/2, z/2) by the framework; any other shape is refused.
    """

    def __call__(self, images: Images, /) -> Logits: ...


@runtime_checkable
class Attack(Protocol):
    """Perturbed images: the strongest attempt for *every* image, also where the prediction survives.

    Use ``generator`` for every random draw. The framework projects what is returned into the ball of
    ``threat`` and into [0, 1], predicts again and decides; an attack that raises or returns a non-finite
    value is a failed cell. Optional attributes say what kind of attack it is:

    - ``norms``, those it knows, such as ``("l2",)``; without it, ``linf`` and ``l2``. Others are refused before a run.
    - ``black_box = True``: it uses no gradient; the framework compares it with those that do.
    - ``minimal_norm = True``: it looks for the *nearest* adversarial image and may return one outside the ball. The
      framework takes its distance from the image and projects it into the ball like any attempt.
    - ``keeps_prediction = True``: it attacks the explanation. It also takes ``masks=`` (batch, height, width), what it
      is to move the attribution off; an image whose answer it changes is left out of its result.
    """

    def __call__(
        self,
        model: Model,
        images: Images,
        labels: Labels,
        threat: ThreatModel,
        *,
        generator: torch.Generator,
    ) -> Images: ...

    @property
    def passes(self) -> tuple[int, int]:
        """The most (forward, backward) passes one image takes; what ``run --dry-run`` adds up."""


@runtime_checkable
class Ensemble(Attack, Protocol):
    """An attack made of parts, each of which attempts what none before it broke; the lowest margin counts."""

    @property
    def parts(self) -> Mapping[str, Attack]: ...


def label_margin(logits: Logits, labels: Labels) -> Margins:
    """z_y - z_other, shape (batch,); a prediction is correct where it is positive."""
    fracture = logits[:, 1] - logits[:, 0]
    return torch.where(labels == 1, fracture, -fracture)


def contract_fault(kind: str, plugin: object) -> str | None:
    """What a plugin of ``kind`` lacks of what it has to declare, in a sentence; None where that is nothing."""
    lacking = [name for name in DECLARED[kind] if not hasattr(plugin, name)]
    if lacking:
        return f"{type(plugin).__name__} lacks {' and '.join(lacking)}; see fracbench/contracts.py"
    if not callable(plugin):
        return f"{type(plugin).__name__} cannot be called; give it __call__"
    if kind == "explainers" and plugin.sign not in SIGNS:  # type: ignore[attr-defined]
        return f"{type(plugin).__name__} has the sign {plugin.sign!r}; write {' or '.join(SIGNS)}"  # type: ignore[attr-defined]
    return None


class MarginModel(nn.Module):
    """The fracture margin z1 - z0 of a model, shape (batch,); ``network`` is the model itself.

    ``through`` is a wrapper of ``network`` that calls go through (it counts passes). What an explainer
    notes of its way with this network, such as the layer it read, goes into the record of its cell. ``together`` images
    go through it in one step.
    """

    def __init__(self, network: nn.Module, through: nn.Module | None = None, together: int = 64) -> None:
        super().__init__()
        self.network = network
        self.together = together
        # in a tuple, so that the network is a submodule once: methods hook every submodule they see
        self._through = (through or network,)
        self.notes: dict[str, str] = {}
        self.kept: dict[Hashable, Any] | None = None

    def shared(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What several explainers need of the images being explained, such as the gradient, computed once for all.

        Only for exactly these images, unchanged; what ``key`` names must be the same whoever asks.
        """
        if self.kept is None:
            return compute()
        if key not in self.kept:
            self.kept[key] = compute()
        found: T = self.kept[key]
        return found

    def copies(self, images: Images) -> int:
        """How many changed copies of all these images an explainer may well send in one call, at least one."""
        return max(1, self.together // len(images))

    def note(self, **facts: str) -> None:
        """For an explainer: ``margin_model.note(layer="network.layer4")``."""
        self.notes.update(facts)

    def forward(self, images: Images) -> Scores:
        logits: torch.Tensor = self._through[0](images)
        return logits[:, 1] - logits[:, 0]


@runtime_checkable
class Explainer(Protocol):
    """Attributions on the method's native grid for the fracture margin.

    ``sign`` tells the framework how to read them: ``positive`` keeps what speaks for a fracture,
    ``absolute`` keeps size alone. The framework upsamples, blanks the padding and scales the maps.
    Raise ``Unsupported`` with the reason where the method is not valid for the network. Where that shows on images
    alone, an optional ``check_network(margin_model, images)`` raises it: it is asked once for a network, on the first
    images of the run, and its answer holds for every image. An optional ``answers_only = True`` says that it asks for
    margins and their gradients at the images alone, never for a layer: then a quicker copy of the network may answer.
    """

    sign: ClassVar[Literal["positive", "absolute"]]

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions: ...

    @property
    def passes(self) -> tuple[int, int]:
        """The most (forward, backward) passes one image takes."""


@runtime_checkable
class AlignmentMetric(Protocol):
    """One score per image for maps (non-negative, maximum 1) against non-empty masks.

    What a metric may have beside it:

    - ``chance(masks, valid)``: what a map that knows nothing scores, (batch,); without it uniform maps are tried.
    - ``reference(maps, masks)``: the same score by the library that defines it, which ``verify`` compares.
    - ``of_order(order)``: the same score from a ``fracbench.order.Order``, whose one sort serves several metrics.
    """

    name: ClassVar[str]
    higher_is_better: ClassVar[bool]

    def __call__(self, maps: Maps, masks: Masks) -> Scores: ...


@dataclass(frozen=True)
class Sample:
    """One row of a dataset, before its pixels are read.

    ``group`` is the patient or near-duplicate group; ``annotated=False`` marks a fractured image that
    has no mask and counts for robustness only.
    """

    id: str
    label: int
    group: str
    annotated: bool = True
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Radiograph:
    """Pixels at native size: ``image`` float32 (height, width) in [0, 1], ``instances`` bool (n, height, width)."""

    image: NDArray[np.float32]
    instances: NDArray[np.bool_]


@dataclass(frozen=True)
class Archive:
    """A dataset as it is published: a zip of ``size`` bytes at ``url`` with this MD5 (hex), which holds ``folder``.

    ``page`` is for people, ``terms`` its licence and whom to name.
    """

    url: str
    size: int
    md5: str
    folder: str
    page: str
    terms: str


class Dataset(Protocol):
    """Annotated radiographs. The factory takes ``root`` (a folder or None) and the spec's parameters.

    What a dataset may have beside this:

    - ``image_hash(sample)``: SHA-256 (hex) by which training images are known. Where images are files, of the file's
      bytes, so that ``sha256sum`` gives the same; without it, of the image's size and pixels in 8 bits.
    - ``like``: the name of another dataset; what was trained on that one was trained on such images.
    - ``secret_files``: files nobody else may read; a run is refused where one lies among submissions or results.
    - ``archive``: an ``Archive``, from which the dataset is downloaded where no folder of it is given.
    - ``layout``: paths below root by which a folder of this dataset is known.
    - ``findings()``: pairs of a fault and the name of a file that has it, of all that is wrong with the files, also
      where it is dealt with; ``fracbench data check`` shows them.
    - ``second_reader(sample)``: the instances as another annotator outlines them, bool (n, height, width).
    """

    @property
    def splits(self) -> Sequence[str]: ...

    def samples(self, split: str) -> Sequence[Sample]:
        """All rows of a split; raises ``InputError`` naming file and row for what is wrong."""

    def read(self, sample: Sample) -> Radiograph: ...

    def fingerprint(self, split: str) -> str:
        """SHA-256 (hex) of the bytes used for this split."""
