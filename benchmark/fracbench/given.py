"""Maps that no network made, scored like explainers: a second reader, and where training fractures lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fracbench.contracts import Dataset, Radiograph, Sample, Unsupported
from fracbench.data import Batch, choose, fit, load
from fracbench.tensors import Maps, Masks

TRAINING_MASKS = 256


def reader(dataset: Dataset, samples: Sequence[Sample], batch: Batch, near: Masks) -> tuple[Maps, str]:
    """What a second annotator marked on each image, (batch, H, W), and who that is.

    Where the dataset has none, the mask with the hit's tolerance around it stands in: a reader who is that imprecise.
    """
    ask = getattr(dataset, "second_reader", None)
    if ask is None:
        return near.float(), "the mask with the tolerance around it, for want of a second annotator"
    maps = torch.zeros_like(batch.masks, dtype=torch.float32)
    for place, sample in enumerate(samples):
        if sample.label == 1 and sample.annotated:
            again = fit(Radiograph(dataset.read(sample).image, ask(sample)), maps.shape[-1])
            maps[place] = torch.from_numpy(again.instances.any(0))
    return maps, "a second annotator"


def mean_mask(dataset: Dataset, size: int, seed: int) -> Maps:
    """The mean mask of at most 256 annotated fractured training images, (1, H, W): where a fracture is likely to be.

    Raises ``Unsupported`` where there are none.
    """
    there = [s for s in dataset.samples("train") if s.label == 1 and s.annotated] if "train" in dataset.splits else []
    if not there:
        raise Unsupported("the dataset has no annotated training images")
    chosen = choose(there, min(len(there), TRAINING_MASKS), 0, seed)
    return load(dataset, chosen, size).masks.float().mean(0, keepdim=True)
