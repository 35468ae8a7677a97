"""Annotated radiographs to batches: fitted to one size, chosen by seed, read one logical batch at a time."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fracbench.contracts import Dataset, Radiograph, Sample
from fracbench.errors import InputError
from fracbench.tensors import Images, Labels, Masks

_CLASSES = ((1, "fractured"), (0, "normal"))


@dataclass(frozen=True)
class Fitted:
    """A radiograph on a square grid.

    ``image`` float32 (size, size) in [0, 1], black outside ``valid``; ``instances`` bool (n, size, size),
    always inside ``valid``; ``valid`` bool (size, size), True where there is picture, False on padding.
    """

    image: NDArray[np.float32]
    instances: NDArray[np.bool_]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Samples with their pixels, in the order asked for.

    ``images`` float32 (batch, 1, height, width) in [0, 1]; ``labels`` int64 (batch,); ``masks`` bool
    (batch, height, width), the union of the instances; ``instances`` one bool (n_i, height, width) for each
    image; ``valid`` bool (batch, height, width), True where not padding; ``annotated`` bool (batch,).
    """

    ids: tuple[str, ...]
    images: Images
    labels: Labels
    masks: Masks
    instances: tuple[Bool[Tensor, "n height width"], ...]
    valid: Masks
    groups: tuple[str, ...]
    annotated: Bool[Tensor, " batch"]
    metadata: tuple[dict[str, Any], ...]


def _shares(length: int, side: int, size: int) -> NDArray[np.float64]:
    """(size, length): the share of each output pixel that each native pixel covers along one axis.

    The ``length`` native pixels lie centred on an axis of ``side`` pixels that is cut into ``size``.
    """
    step = side / size
    out = np.arange(size)[:, None] * step
    native = np.arange(length)[None] + (side - length) // 2
    overlap = np.minimum(out + step, native + 1) - np.maximum(out, native)
    return np.clip(overlap, 0, None) / step


def _fit_instance(
    instance: NDArray[np.bool_], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.bool_]:
    top, left = np.flatnonzero(instance.any(1)), np.flatnonzero(instance.any(0))
    if not top.size:
        return np.zeros((len(rows), len(columns)), bool)
    box = np.s_[top[0] : top[-1] + 1], np.s_[left[0] : left[-1] + 1]
    coverage = rows[:, box[0]] @ instance[box].astype(np.float64) @ columns[:, box[1]].T
    kept = coverage >= 0.5 - 1e-9
    if not kept.any():
        kept[np.unravel_index(coverage.argmax(), coverage.shape)] = True
    return kept


def fit(radiograph: Radiograph, size: int) -> Fitted:
    """Pad a radiograph to a centred black square and resize it to (size, size) pixels.

    The image (height, width) in [0, 1] is resized with antialiased bilinear weights. An instance keeps the
    pixels it covers by at least half, or else the one it covers best, so none is lost. Native pixels
    and output pixels count from the same corner: masks and image stay aligned.
    """
    height, width = radiograph.image.shape
    side = max(height, width)
    rows, columns = _shares(height, side, size), _shares(width, side, size)
    valid = np.outer(rows.sum(1) > 1e-9, columns.sum(1) > 1e-9)
    instances = [_fit_instance(instance, rows, columns) for instance in radiograph.instances]

    square = np.zeros((side, side), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = radiograph.image
    resized = Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR)
    image = np.where(valid, np.clip(np.asarray(resized), 0, 1), 0).astype(np.float32)
    return Fitted(image, np.array(instances, bool).reshape(-1, size, size), valid)


def choose(samples: Sequence[Sample], fractured: int | None, normal: int | None, seed: int) -> list[Sample]:
    """Pick so many fractured and normal samples by the order of SHA-256(``seed:id``); sorted by id.

    None takes all of a class. Raises ``InputError`` where a class has fewer than asked for.
    """
    chosen: list[Sample] = []
    faults = [fault for sample in samples for fault in _label_faults(sample)]
    for (label, word), asked in zip(_CLASSES, (fractured, normal), strict=True):
        ranked = sorted((s for s in samples if s.label == label), key=lambda s: (_draw(seed, s.id), s.id))
        if asked is not None and asked > len(ranked):
            faults.append(f"{asked} {word} images are asked for and there are {len(ranked)}; ask for fewer")
        chosen += ranked[:asked]
    if faults:
        raise InputError(*faults)
    return sorted(chosen, key=lambda sample: sample.id)


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def logical_batches(samples: Sequence[Sample], size: int) -> list[tuple[Sample, ...]]:
    """Cut the samples, sorted by id, into batches of ``size``; the last may be shorter.

    Raises ``InputError`` where two samples share an id.
    """
    ordered = sorted(samples, key=lambda sample: sample.id)
    for one, other in itertools.pairwise(ordered):
        if one.id == other.id:
            raise InputError(f"{one.id}: two samples have this id; the dataset must give each its own")
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def load(dataset: Dataset, samples: Sequence[Sample], size: int) -> Batch:
    """Read and fit these samples, and no others, to a batch of (size, size) images.

    Raises ``InputError`` with one line for each sample whose label is not 0 or 1, whose image is not finite
    or not in [0, 1], whose masks have another shape, or that is fractured and annotated without a mask.
    """
    if not samples:
        raise InputError("there are no samples to load; choose at least one")
    faults: list[str] = []
    fitted: list[Fitted] = []
    for sample in samples:
        try:
            radiograph = dataset.read(sample)
        except InputError as error:
            faults += error.faults
            continue
        faults += _label_faults(sample) + _pixel_faults(sample, radiograph)
        if not faults:
            fitted.append(fit(radiograph, size))
    if faults:
        raise InputError(*faults)
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=torch.from_numpy(np.stack([f.image for f in fitted])[:, None]),
        labels=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
        masks=torch.from_numpy(np.stack([f.instances.any(0) for f in fitted])),
        instances=tuple(torch.from_numpy(f.instances) for f in fitted),
        valid=torch.from_numpy(np.stack([f.valid for f in fitted])),
        groups=tuple(sample.group for sample in samples),
        annotated=torch.tensor([sample.annotated for sample in samples], dtype=torch.bool),
        metadata=tuple(dict(sample.metadata) for sample in samples),
    )


def image_hash(dataset: Dataset, sample: Sample) -> str:
    """SHA-256 (hex) of an image: what the dataset says, else of its size and its pixels in 8 bits."""
    ask = getattr(dataset, "image_hash", None)
    if ask is not None:
        return str(ask(sample))
    image = dataset.read(sample).image
    return hashlib.sha256(f"{image.shape} ".encode() + np.rint(image * 255).astype(np.uint8).tobytes()).hexdigest()


def check(dataset: Dataset, batches: Sequence[Sequence[Sample]], size: int) -> None:
    """Read every image once; ``InputError`` with the faults of all batches, one line each."""
    faults: list[str] = []
    for batch in batches:
        try:
            load(dataset, batch, size)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)


def _label_faults(sample: Sample) -> list[str]:
    if sample.label in (0, 1):
        return []
    return [f"{sample.id}: label is {sample.label}; write 0 (no fracture) or 1 (fracture)"]


def _pixel_faults(sample: Sample, radiograph: Radiograph) -> list[str]:
    image, instances = radiograph.image, radiograph.instances
    if image.ndim != 2 or not image.size:
        return [f"{sample.id}: image has shape {image.shape}; give (height, width)"]
    if not np.isfinite(image).all():
        return [f"{sample.id}: image has non-finite pixels; write numbers in [0, 1]"]
    if image.min() < 0 or image.max() > 1:
        return [f"{sample.id}: pixels span {image.min():g} to {image.max():g}; scale them to [0, 1]"]
    if instances.dtype != np.bool_ or instances.ndim != 3 or instances.shape[1:] != image.shape:
        return [f"{sample.id}: instances are {instances.dtype} {instances.shape}; give bool (n, *{image.shape})"]
    if not instances.any((1, 2)).all():
        return [f"{sample.id}: an instance has an empty mask; leave the instance out"]
    if sample.label == 1 and sample.annotated and not len(instances):
        return [f"{sample.id}: fractured without a mask; give a mask or mark it as not annotated"]
    if sample.label == 0 and len(instances):
        return [f"{sample.id}: not fractured but has a mask; write label 1 or remove the mask"]
    return []
