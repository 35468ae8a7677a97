"""Radiographs of virtual hands and wrists whose fractures are known exactly.

Rays through parametric anatomy, fractures as geometry, a detector with scatter, blur and noise, virtual sites.
``docs/hand-phantom.md`` says what it is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from fracbench.contracts import InputError, Radiograph, Sample
from numpy.typing import NDArray

from fracbench_plugins.datasets.hand_phantom import shelf
from fracbench_plugins.datasets.hand_phantom.anatomy import draw_patient
from fracbench_plugins.datasets.hand_phantom.reader import second_outlines
from fracbench_plugins.datasets.hand_phantom.scene import VIEWS, Picture, draw_tempting, render

# how often a planted shortcut agrees with the label
LURES = {"train": 0.7, "val": 0.7, "test": 0.5, "test-shift-site": 0.5, "test-shift-shortcut": 0.3}
SPLITS = tuple(LURES)
SHARED = 0.4  # of the pairs of a normal and a fractured picture are of one patient


def make(seed: int, split: str, index: int) -> Picture:
    """Picture ``index`` of a split; odd ones are fractured. The same on every machine."""
    place = SPLITS.index(split)
    pair = np.random.default_rng([seed, place, index // 2, 0])
    same = pair.random() < SHARED
    patient = draw_patient(np.random.default_rng([seed, place, index // 2, 1 if same else 2 + index % 2]))
    rng = np.random.default_rng([seed, place, index // 2, 4 + index % 2])
    view = str(rng.choice(list(VIEWS), p=(0.4, 0.3, 0.3)))
    tempting = draw_tempting(rng, index % 2 == 1, LURES[split], split == "test-shift-site")
    picture = render(rng, patient, view, index % 2 == 1, tempting)
    picture.facts["patient"] = f"{split}-{index // 2:05d}" + ("" if same else "ab"[index % 2])
    return picture


@lru_cache(maxsize=64)
def _shard(seed: int, split: str, number: int) -> list[Picture]:
    return shelf.shard(seed, split, number, lambda index: make(seed, split, index))


@dataclass(frozen=True)
class HandPhantom:
    """Made by the package: 256 x 256 pixels, 8 bit, odd indices fractured with one to three instances.

    ``train``, ``val`` and ``test`` count images; ``test-shift-site`` (a site never trained on) and
    ``test-shift-shortcut`` (planted shortcuts reversed) have as many as ``test``. The group is the virtual
    patient. Metadata: view, child, site, marker, cast, kinds, and the subtlety of the plainest instance.
    """

    root: object = None
    train: int = 2400
    val: int = 200
    test: int = 128
    seed: int = 0

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __post_init__(self) -> None:
        if self.root is not None:
            raise InputError("the hand phantom is made by the package; leave --data out")
        for name in ("train", "val", "test"):
            if getattr(self, name) < 2:
                raise InputError(f"hand-phantom {name} must be at least 2, got {getattr(self, name)}")

    def samples(self, split: str) -> Sequence[Sample]:
        """All images of a split; the first time they are made, and kept in the user's cache folder."""
        if split not in SPLITS:
            raise InputError(f"the hand phantom has no split '{split}'; splits are {', '.join(SPLITS)}")
        return [self._sample(split, index, picture) for index, picture in enumerate(self._pictures(split))]

    def _sample(self, split: str, index: int, picture: Picture) -> Sample:
        facts: dict[str, str | float | bool] = {k: v for k, v in picture.facts.items() if k != "patient"}
        if picture.kinds:
            facts |= {"kinds": "+".join(picture.kinds), "subtlety": round(min(picture.subtleties), 3)}
        return Sample(f"{split}-{index:05d}", index % 2, str(picture.facts["patient"]), True, facts)

    def _pictures(self, split: str) -> list[Picture]:
        count = getattr(self, split.partition("-")[0])
        numbers = range(-(-count // shelf.SHARD))
        return [p for n in _announced(self.seed, split, numbers) for p in _shard(self.seed, split, n)][:count]

    def _picture(self, sample: Sample) -> Picture:
        split, _, index = sample.id.rpartition("-")
        number, place = divmod(int(index), shelf.SHARD)
        return _shard(self.seed, split, number)[place]

    def read(self, sample: Sample) -> Radiograph:
        picture = self._picture(sample)
        return Radiograph(picture.pixels.astype(np.float32) / np.float32(255), picture.instances)

    def second_reader(self, sample: Sample) -> NDArray[np.bool_]:
        """What another virtual reader outlines, bool (n, 256, 256); see ``second_outlines``."""
        return second_outlines(self._picture(sample).instances, sample.id)

    def fingerprint(self, split: str) -> str:
        total = hashlib.sha256()
        for picture in self._pictures(split):
            total.update(picture.pixels.tobytes() + np.packbits(picture.instances).tobytes())
        return total.hexdigest()


def _announced(seed: int, split: str, numbers: range) -> Sequence[int]:
    """The shards of a split, with a progress bar where several have to be made first."""
    missing = [number for number in numbers if not shelf.is_kept(seed, split, number)]
    if len(missing) > 2:
        from rich.console import Console
        from rich.progress import track

        for number in track(missing, f"hand-phantom: drawing {split}", console=Console(stderr=True), transient=True):
            _shard(seed, split, number)
    return numbers
