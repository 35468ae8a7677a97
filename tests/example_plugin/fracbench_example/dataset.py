"""A dataset: noise, and a bright square where it is "fractured"."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from fracbench.contracts import Radiograph, Sample


@dataclass(frozen=True)
class Squares:
    """``count`` images of 64 x 64; every second one has a square, which is its mask."""

    root: None = None  # the folder given with --data; this dataset needs none
    count: int = 16

    splits: ClassVar[tuple[str, ...]] = ("test",)

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{i:03d}", label=i % 2, group=f"{i:03d}") for i in range(self.count)]

    def read(self, sample: Sample) -> Radiograph:
        rng = np.random.default_rng(int(sample.id))
        image = rng.random((64, 64), dtype=np.float32) * np.float32(0.3)
        instances = np.zeros((sample.label, 64, 64), bool)
        if sample.label:
            row, column = rng.integers(16, 36, 2)
            instances[0, row : row + 12, column : column + 12] = True
            image[instances[0]] += np.float32(0.5)
        return Radiograph(image, instances)

    def fingerprint(self, split: str) -> str:
        pixels = b"".join(self.read(sample).image.tobytes() for sample in self.samples(split))
        return hashlib.sha256(pixels).hexdigest()
