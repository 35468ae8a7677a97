"""A dataset: noise, and a bright square where it is "fractured"."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from fracbench.contracts import Radiograph, Sample


@dataclass(frozen=True)
class Squares:
    """``count`` images of 64 x 64 in each split; every second one has a square, which is its mask."""

    root: None = None  # the folder given with --data; this dataset needs none
    count: int = 64

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def samples(self, split: str) -> Sequence[Sample]:
        names = [f"{split}-{i:03d}" for i in range(self.count)]
        return [Sample(name, label=i % 2, group=name) for i, name in enumerate(names)]

    def read(self, sample: Sample) -> Radiograph:
        rng = np.random.default_rng(list(sample.id.encode()))
        image = rng.random((64, 64), dtype=np.float32) * np.float32(0.3)
        instances = np.zeros((sample.label, 64, 64), bool)
        if sample.label:
            row, column = rng.integers(4, 48, 2)
            instances[0, row : row + 12, column : column + 12] = True
            image[instances[0]] += np.float32(0.5)
        return Radiograph(image, instances)

    def fingerprint(self, split: str) -> str:
        pixels = b"".join(self.read(sample).image.tobytes() for sample in self.samples(split))
        return hashlib.sha256(pixels).hexdigest()
