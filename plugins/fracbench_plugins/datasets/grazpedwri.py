"""GRAZPEDWRI-DX (Nagy et al., Scientific Data 2022): wrists of children, fractures as boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from fracbench.contracts import Radiograph, Sample
from fracbench.errors import InputError
from numpy.typing import NDArray

from fracbench_plugins.datasets import _groups, _imaging
from fracbench_plugins.datasets._tables import AGAIN, read_table

TABLE = "dataset.csv"
_PARTS = tuple(f"images_part{n}" for n in (1, 2, 3, 4))
_LABELS = ("folder_structure/yolov5/labels", "yolov5/labels", "labels")  # as unpacked, or moved up
_FRACTURE = 3  # of the YOLO classes 0 to 8
_FACTS = ("gender", "age", "laterality", "projection", "initial_exam", "ao_classification", "cast",
          "diagnosis_uncertain", "osteopenia", "metal")  # fmt: skip

Box = tuple[float, float, float, float]  # centre x, centre y, width, height, as shares of the image


@dataclass(frozen=True)
class GrazPedWri:
    """The GRAZPEDWRI-DX wrists below ``root``, in the layout of the official archives, split by patient.

    ``root`` holds dataset.csv, ``images_part1`` to ``images_part4`` (PNG of 8 or 16 bits) or as many of them as there
    are, and the YOLO labels. A box of class fracture is an instance, filled; an image that dataset.csv calls
    ``fracture_visible`` and that has no such box is fractured and not annotated. A patient lies in one split, by a hash
    of ``seed``, with the shares ``fractions`` of train, val and test. A sample's id is its ``filestem``.
    Boxes are larger than what they enclose: hits on them say less than hits on outlines.
    """

    layout: ClassVar[Sequence[str]] = (TABLE, _PARTS[0])

    root: Path | None
    fractions: Sequence[float] = (0.7, 0.1, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", _groups.checked_fractions(self.fractions))

    @property
    def splits(self) -> Sequence[str]:
        return _groups.SPLITS

    def samples(self, split: str) -> Sequence[Sample]:
        """All images of a split, sorted by id."""
        _groups.check_split("grazpedwri", split)
        return self._by_split[split]

    def read(self, sample: Sample) -> Radiograph:
        """Pixels and filled boxes of one image at native size."""
        path = self._files.get(sample.id)
        if path is None:
            raise InputError(f"{self._folder}: has no image '{sample.id}'; take samples from this dataset")
        try:
            image = _imaging.read_gray(path)
        except ValueError as error:
            raise InputError(f"{path}: {error}; unpack the archive again") from error
        boxes = self._boxes(sample.id)
        masks = np.zeros((len(boxes), *image.shape), bool)
        for mask, box in zip(masks, boxes, strict=True):
            _fill(mask, box)
        return Radiograph(image, masks)

    def image_hash(self, sample: Sample) -> str:
        """SHA-256 (hex) of the bytes of a sample's image file."""
        return _imaging.digest(self._files[sample.id])

    def fingerprint(self, split: str) -> str:
        """SHA-256 (hex) over the bytes of the split's images, their boxes, labels, patients and facts."""
        return _imaging.combined(
            [
                json.dumps([self.image_hash(s), s.id, s.label, s.group, dict(s.metadata), self._boxes(s.id)])
                for s in self.samples(split)
            ]
        )

    @cached_property
    def _folder(self) -> Path:
        if self.root is None:
            raise InputError("grazpedwri needs --data DIR")
        root = Path(self.root)
        missing = [part for part in self.layout if not (root / part).exists()]
        if missing:
            raise InputError(
                f"{root}: '{missing[0]}' is missing; give the folder with {TABLE}, {', '.join(_PARTS)} and {_LABELS[0]}"
            )
        return root

    @cached_property
    def _labels(self) -> Path:
        found = next((self._folder / place for place in _LABELS if (self._folder / place).is_dir()), None)
        if found is None:
            raise InputError(f"{self._folder}: has no YOLO labels; unpack them to {_LABELS[0]}")
        return found

    @cached_property
    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in (path for part in _PARTS for path in sorted((self._folder / part).glob("*.png"))):
            if path.stem in found:
                raise InputError(f"{path}: there is {found[path.stem]} too; unpack the archive again")
            found[path.stem] = path
        return found

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        path = self._folder / TABLE
        rows = read_table(path, "filestem", ("patient_id", "fracture_visible"), flags=("fracture_visible",))
        for name, row in rows.items():  # numbers, which a spreadsheet may have written as 12.0
            row["patient_id"] = row["patient_id"].strip().removesuffix(".0")
            if not row["patient_id"]:
                raise InputError(f"{path}: {name} has no patient_id; {AGAIN}")
        return rows

    def _boxes(self, name: str) -> list[Box]:
        """Fracture boxes of an image; none where it has no label file."""
        path = self._labels / f"{name}.txt"
        if not path.is_file():
            return []
        boxes = []
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is no text in UTF-8 ({error}); unpack the labels again") from None
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            try:
                kind, (x, y, width, height) = int(words[0]), map(float, words[1:])
            except ValueError:
                raise InputError(f"{path}:{number}: is not 'class x y width height'; unpack the labels again") from None
            if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
                raise InputError(f"{path}:{number}: is no box within the image; unpack the labels again")
            if kind == _FRACTURE:
                boxes.append((x, y, width, height))
        return boxes

    @cached_property
    def _by_split(self) -> dict[str, list[Sample]]:
        unlisted = sorted(self._files.keys() - self._rows.keys())
        if unlisted:
            raise InputError(*(f"{self._files[name]}: is not in {TABLE}; unpack it again" for name in unlisted))
        if not self._files:
            raise InputError(f"{self._folder}: has no images; unpack {', '.join(_PARTS)} there")
        splits: dict[str, list[Sample]] = {split: [] for split in self.splits}
        for name in sorted(self._files):  # rows of parts that are not unpacked have no image, and are left out
            sample = self._sample(name, self._rows[name])
            splits[_groups.split_of(self.seed, sample.group, self.fractions)].append(sample)
        return splits

    def _sample(self, name: str, row: Mapping[str, str]) -> Sample:
        boxes = self._boxes(name)
        fractured = bool(boxes) or row["fracture_visible"] == "1"
        facts = {fact: row[fact] for fact in _FACTS if row.get(fact)}
        return Sample(name, int(fractured), f"patient-{row['patient_id']}", not fractured or bool(boxes), facts)


def _fill(mask: NDArray[np.bool_], box: Box) -> None:
    """Set the pixels that a box covers, at least one."""
    x, y, width, height = box
    for_axis = []
    for centre, span, side in ((y, height, mask.shape[0]), (x, width, mask.shape[1])):
        first = min(max(round((centre - span / 2) * side), 0), side - 1)
        for_axis.append(slice(first, max(first + 1, round((centre + span / 2) * side))))
    mask[tuple(for_axis)] = True
