"""Radiographs of virtual hands and wrists whose fractures are known exactly.

Rays through parametric anatomy, fractures as geometry, a detector with scatter, blur and noise, virtual sites.
``docs/phantom.md`` says what it is not.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from typing import ClassVar

import numpy as np
from fracbench.contracts import InputError, Radiograph, Sample
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from fracbench_plugins.datasets.phantom import shelf
from fracbench_plugins.datasets.phantom.draw import LURES, SPLITS, make
from fracbench_plugins.datasets.phantom.reader import second_outlines
from fracbench_plugins.datasets.phantom.scene import SIDE, Lures, Picture

SECONDS_BETWEEN_LINES = 5.0


@lru_cache(maxsize=64)
def _shard(seed: int, split: str, lures: Lures, number: int) -> list[Picture]:
    return shelf.shard(seed, split, lures, number, lambda index: make(seed, split, index, lures))


@dataclass(frozen=True)
class Phantom:
    """Made by the package: 256 x 256 pixels, 8 bit, odd indices fractured with one to three instances.

    ``train``, ``val`` and ``test`` count images; ``test-shift-site`` (a site never trained on) and
    ``test-shift-shortcut`` (planted shortcuts reversed) have as many as ``test``. ``marker``, ``cast`` and ``site``
    are the probabilities with which these shortcuts agree with the label in ``train`` and ``val``, in place of 0.6
    and 0.5. The group is the virtual patient. Metadata: view, child, site, marker, cast, kinds, and the subtlety of
    the plainest instance.
    """

    root: object = None
    train: int = 8000
    val: int = 1000
    test: int = 128
    seed: int = 0
    marker: float | None = None
    cast: float | None = None
    site: float | None = None

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __post_init__(self) -> None:
        if self.root is not None:
            raise InputError("the phantom is made by the package; leave --data out")
        for name, least in (("train", 2), ("val", 2), ("test", 2), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InputError(f"phantom {name} must be a whole number and at least {least}, got {value}")
        for name, agree in self._given().items():
            if type(agree) not in (int, float) or not 0 <= agree <= 1:
                raise InputError(f"phantom {name} is a probability between 0 and 1, got {agree}")

    def samples(self, split: str) -> Sequence[Sample]:
        """All images of a split; the first time they are made, and kept in the user's cache folder."""
        if split not in SPLITS:
            raise InputError(f"the phantom has no split '{split}'; splits are {', '.join(SPLITS)}")
        noted = chain.from_iterable(
            shelf.notes(self.seed, split, self._lures(split), n, partial(self._shard, split, n))
            for n in self._numbers(split)
        )
        return [self._sample(split, index, notes) for index, notes in enumerate(islice(noted, self._count(split)))]

    def _sample(self, split: str, index: int, notes: shelf.Notes) -> Sample:
        facts: dict[str, str | float | bool] = {k: v for k, v in notes.facts.items() if k != "patient"}
        if notes.kinds:
            facts |= {"kinds": "+".join(notes.kinds), "subtlety": round(min(notes.subtleties), 3)}
        return Sample(f"{split}-{index:05d}", index % 2, str(notes.facts["patient"]), True, facts)

    def _count(self, split: str) -> int:
        return int(getattr(self, split.partition("-")[0]))

    def _numbers(self, split: str) -> Iterable[int]:
        """Of the shards of a split, with a progress bar where several have to be drawn first."""
        numbers = range(-(-self._count(split) // shelf.SHARD))
        if sum(not shelf.is_kept(self.seed, split, self._lures(split), number) for number in numbers) <= 2:
            return numbers
        console = Console(stderr=True)
        if console.is_terminal:
            return track(numbers, f"phantom: drawing {split}", console=console, transient=True)
        return self._told(numbers, split)

    def _told(self, numbers: range, split: str) -> Iterator[int]:
        """The same numbers, with a line now and then where no bar can be drawn."""
        last = time.monotonic()
        for number in numbers:
            if time.monotonic() - last > SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                done, total = number * shelf.SHARD, self._count(split)
                print(f"phantom: drawing {split}, {done} of {total} pictures", file=sys.stderr, flush=True)
            yield number

    def _shard(self, split: str, number: int) -> list[Picture]:
        return _shard(self.seed, split, self._lures(split), number)

    def _given(self) -> dict[str, float]:
        asked = {"marker": self.marker, "cast": self.cast, "site": self.site}
        return {name: agree for name, agree in asked.items() if agree is not None}

    def _lures(self, split: str) -> Lures:
        given = self._given() if split in ("train", "val") else {}
        # one name in the cache for 1 and 1.0, 0.0 and -0.0
        return LURES[split]._replace(**{name: abs(float(agree)) for name, agree in given.items()})

    def _picture(self, sample: Sample) -> Picture:
        split, _, index = sample.id.rpartition("-")
        number, place = divmod(int(index), shelf.SHARD)
        return self._shard(split, number)[place]

    def read(self, sample: Sample) -> Radiograph:
        picture = self._picture(sample)
        return Radiograph(picture.pixels.astype(np.float32) / np.float32(255), picture.instances)

    def marker_mask(self, sample: Sample) -> NDArray[np.bool_]:
        """Where the side marker is, bool (256, 256): what an explanation of a model that cheats with it points at."""
        top, bottom, left, right = self._picture(sample).marker
        mask = np.zeros((SIDE, SIDE), bool)
        mask[top:bottom, left:right] = True
        return mask

    def second_reader(self, sample: Sample) -> NDArray[np.bool_]:
        """What another virtual reader outlines, bool (n, 256, 256); see ``second_outlines``."""
        return second_outlines(self._picture(sample).instances, sample.id)

    def fingerprint(self, split: str) -> str:
        total = hashlib.sha256()
        pictures = chain.from_iterable(self._shard(split, number) for number in self._numbers(split))
        for picture in islice(pictures, self._count(split)):
            total.update(picture.pixels.tobytes() + np.packbits(picture.instances).tobytes())
        return total.hexdigest()
