"""What a dataset holds, and what is wrong with its files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fracbench.contracts import Dataset, Sample
from fracbench.data import image_hash
from fracbench.errors import InputError
from fracbench.subgroups import MOST_VALUES

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class SplitCount:
    """Images of a split: all, fractured, of those with outlines, how many outlines, and groups."""

    split: str
    images: int
    fractured: int
    annotated: int
    instances: int
    groups: int


@dataclass(frozen=True)
class Report:
    """``lesions``: minimum, quartiles and maximum of the share of its image that a fracture covers, and of its longer
    side in pixels, by name. ``facts``: images by the value of each fact. ``findings``: names of files by fault.
    """

    splits: list[SplitCount]
    lesions: Mapping[str, Sequence[float]]
    facts: Mapping[str, Mapping[str, int]]
    findings: Mapping[str, Sequence[str]]


def report(dataset: Dataset, progress: Callable[[int, int], None]) -> Report:
    """Read every image of every split; ``progress`` is told images read, of all.

    Raises ``InputError`` where the dataset itself, or a list of its images, cannot be read.
    """
    by_split = {split: list(dataset.samples(split)) for split in dataset.splits}
    everything = [sample for samples in by_split.values() for sample in samples]
    shares: list[float] = []
    sides: list[float] = []
    drawn: dict[str, int] = {}
    unreadable: list[str] = []
    for done, sample in enumerate(everything):
        progress(done, len(everything))
        try:
            instances = dataset.read(sample).instances
        except InputError as error:
            unreadable += error.faults
            continue
        drawn[sample.id] = len(instances)
        for instance in instances:
            shares.append(float(instance.mean()))
            spans = [np.flatnonzero(instance.any(axis)) for axis in (0, 1)]
            sides.append(float(max((of[-1] - of[0] + 1 for of in spans if len(of)), default=0)))
    progress(len(everything), len(everything))
    counts = [
        SplitCount(
            split,
            len(samples),
            sum(of.label == 1 for of in samples),
            sum(of.label == 1 and of.annotated for of in samples),
            sum(drawn.get(of.id, 0) for of in samples),
            len({of.group for of in samples}),
        )
        for split, samples in by_split.items()
    ]
    lesions = {name: list(np.quantile(of, QUANTILES)) if of else [] for name, of in
               (("share of the image", shares), ("longer side, pixels", sides))}  # fmt: skip
    findings = {"images that cannot be read": unreadable} if unreadable else {}
    return Report(counts, lesions, _facts(everything), findings | _findings(dataset, by_split))


def _facts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """Images by value, of facts with few values."""
    names = dict.fromkeys(name for sample in samples for name in sample.metadata)
    counted = {name: Counter(str(sample.metadata.get(name, "not stated")) for sample in samples) for name in names}
    return {name: dict(of.most_common()) for name, of in counted.items() if len(of) <= MOST_VALUES}


def _findings(dataset: Dataset, by_split: Mapping[str, Sequence[Sample]]) -> dict[str, list[str]]:
    """What the dataset says is wrong with its files, and images that are in two splits or have two labels."""
    found: dict[str, list[str]] = defaultdict(list)
    for fault, name in getattr(dataset, "findings", tuple)():
        found[fault].append(name)
    places = defaultdict(list)
    for split, samples in by_split.items():
        for sample in samples:
            places[image_hash(dataset, sample)].append((split, sample))
    for same in places.values():
        names = " = ".join(sample.id for _, sample in same)
        if len({split for split, _ in same}) > 1:
            found["the same image in several splits"].append(names)
        if len({sample.label for _, sample in same}) > 1:
            found["the same image with both labels"].append(names)
    homes = defaultdict(set)
    for split, samples in by_split.items():
        for sample in samples:
            homes[sample.group].add(split)
    found["groups in several splits"] = sorted(group for group, splits in homes.items() if len(splits) > 1)
    return {fault: names for fault, names in found.items() if names}
