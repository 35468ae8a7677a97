"""Your own radiographs: a folder with a manifest.csv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
from fracbench.contracts import Radiograph, Sample
from fracbench.errors import InputError, did_you_mean
from numpy.typing import NDArray
from scipy import ndimage

from fracbench_plugins.datasets import _dicom, _imaging
from fracbench_plugins.datasets._coco import Annotation, matched
from fracbench_plugins.datasets._manifest import Manifest, Row, read_manifest


@dataclass(frozen=True)
class Folder:
    """Radiographs listed in ``root/manifest``, with the columns image, label, mask, group and split.

    Images are PNG or JPEG with 8 or 16 bits, or DICOM (with pydicom), windowed as a viewer would first show them,
    bone bright also where the file stores it dark. A mask is a PNG of the upright image's size, nonzero on the
    fracture, whose 8-connected parts are the instances; or a COCO file (.json) that lists the image and its
    annotations, which are the instances: polygons, run lengths or, where an annotation has neither, its box. An
    empty group is the image itself. The column ``annotated`` (yes, no) is optional; every further column becomes
    metadata. A sample's id is its image path. Raises ``InputError`` with one line for each fault.
    """

    layout: ClassVar[Sequence[str]] = ("manifest.csv",)

    root: Path | None
    manifest: str = "manifest.csv"

    @property
    def splits(self) -> Sequence[str]:
        """The splits the manifest names, in the order in which they first appear."""
        return list(dict.fromkeys(row.split for row in self._table.rows))

    def samples(self, split: str) -> Sequence[Sample]:
        """All rows of a split, once files, sizes and masks were found to be in order."""
        return [
            Sample(row.image, row.label, row.group, row.annotated, dict(row.metadata)) for row in self._checked(split)
        ]

    def read(self, sample: Sample) -> Radiograph:
        """The pixels of one sample at native size."""
        row = self._by_image.get(sample.id)
        if row is None:
            raise InputError(f"{self.manifest}: has no image '{sample.id}'; take samples from this dataset")
        name = row.image
        try:
            image = _reader(self._folder / row.image).read_gray(self._folder / row.image)
            if not self._is_drawn(row):
                return Radiograph(image, np.zeros((0, *image.shape), bool))
            name = row.mask
            return Radiograph(image, self._instances(row))
        except InputError:
            raise
        except ValueError as error:
            raise InputError(self._line(row, name, f"{error}; save the file again")) from error

    def image_hash(self, sample: Sample) -> str:
        """SHA-256 (hex) of the bytes of a sample's image file."""
        return _imaging.digest(self._folder / sample.id)

    def fingerprint(self, split: str) -> str:
        """SHA-256 (hex) over the split's rows and the bytes of their images and masks, in any order."""
        rows = self._checked(split)
        masks = {name: _imaging.digest(self._folder / name) for name in {row.mask for row in rows} if name}
        images = (_imaging.digest(self._folder / row.image) for row in rows)
        return _imaging.combined(
            [f"{image} {masks.get(row.mask, '-')} {row.canonical()}" for image, row in zip(images, rows, strict=True)]
        )

    @cached_property
    def _folder(self) -> Path:
        if self.root is None:
            raise InputError("the folder dataset needs --data DIR")
        root = Path(self.root)
        if not root.is_dir():
            raise InputError(f"{root}: is not a folder; give the folder that holds {self.manifest}")
        return root

    @cached_property
    def _table(self) -> Manifest:
        return read_manifest(self._folder / self.manifest)

    @cached_property
    def _by_image(self) -> dict[str, Row]:
        return {row.image: row for row in self._table.rows}

    @cached_property
    def _drawn(self) -> dict[str, dict[str, Annotation]]:
        """What each COCO file says of the images that name it, by image path."""
        images: dict[str, list[str]] = {}
        for row in self._table.rows:
            if _is_coco(row):
                images.setdefault(row.mask, []).append(row.image)
        return {name: matched(self._folder / name, self._folder, of) for name, of in images.items()}

    def _annotation(self, row: Row) -> Annotation | None:
        return self._drawn[row.mask].get(row.image)

    def _is_drawn(self, row: Row) -> bool:
        """Whether there is a mask to read: a COCO file need not list what has no fracture."""
        return bool(row.mask) and not (row.label == 0 and _is_coco(row) and self._annotation(row) is None)

    def _instances(self, row: Row) -> NDArray[np.bool_]:
        """The fractures of a row that has a mask, bool (n, height, width); ``ValueError`` where it cannot be read."""
        if _is_coco(row):
            return self._drawn[row.mask][row.image].instances()
        parts, count = ndimage.label(_imaging.read_mask(self._folder / row.mask), np.ones((3, 3)))
        found: NDArray[np.bool_] = parts[None] == np.arange(1, count + 1)[:, None, None]
        return found

    @cached_property
    def _good(self) -> dict[str, list[Row]]:
        """Rows of the splits that were checked already: masks are opened once, not for each question."""
        return {}

    def _checked(self, split: str) -> list[Row]:
        if split in self._good:
            return self._good[split]
        rows = [row for row in self._table.rows if row.split == split]
        faults = list(self._table.faults)
        faults += [(row.line, fault) for row in rows for fault in self._file_faults(row)]
        if faults:
            raise InputError(*(text for _, text in sorted(faults)))
        if not rows:
            near, names = did_you_mean(split, self.splits), ", ".join(self.splits)
            raise InputError(f"{self.manifest}: has no split '{split}'.{near} It has: {names}")
        return self._good.setdefault(split, rows)

    def _line(self, row: Row, file: str, text: str) -> str:
        return f"{Path(self.manifest).name}:{row.line}: {file}: {text}"

    def _file_faults(self, row: Row) -> list[str]:
        faults: list[str] = []
        size = None
        try:
            if self._is_drawn(row):
                size = _reader(self._folder / row.image).upright_size(self._folder / row.image)
            else:
                _reader(self._folder / row.image).check_header(self._folder / row.image)
        except InputError:
            raise
        except ValueError as error:
            faults.append(self._line(row, row.image, f"{error}; write the path of a PNG, JPEG or DICOM image"))
        if self._is_drawn(row):
            found = self._coco_faults(row, size) if _is_coco(row) else self._mask_faults(row, size)
            faults += [self._line(row, row.mask, text) for text in found]
        return faults

    def _mask_faults(self, row: Row, size: tuple[int, int] | None) -> Iterator[str]:
        """What is wrong with a PNG mask; ``size`` is (height, width) of the image where that is known."""
        try:
            mask = _imaging.read_mask(self._folder / row.mask)
        except ValueError as error:
            yield f"{error}; write the path of a PNG mask"
            return
        if size is not None and mask.shape != size:
            yield f"mask has {_pixels(mask.shape)} and the image {_pixels(size)}; save the mask at the image's size"
        if row.label == 0 and mask.any():
            yield "label is 0 and the mask is not empty; write label 1 or clear the mask cell"
        if row.label == 1 and not mask.any():
            yield "label is 1 and the mask is empty; paint the fracture nonzero, or clear it and write annotated=no"

    def _coco_faults(self, row: Row, size: tuple[int, int] | None) -> Iterator[str]:
        """The same of what a COCO file says of an image."""
        annotation = self._annotation(row)
        if annotation is None:
            yield f"does not list '{row.image}'; add it there, or clear the cell and write annotated=no"
        elif size is not None and annotation.size != size:
            yield (
                f"says that '{row.image}' has {_pixels(annotation.size)}, and upright it has {_pixels(size)}; "
                "correct width and height there"
            )
        elif row.label == 0 and annotation.fractures:
            yield f"label is 0 and there is a fracture of '{row.image}'; write label 1 or clear the mask cell"
        elif row.label == 1 and not annotation.outlines:
            yield f"has no outline of a fracture of '{row.image}'; add one, or clear the cell and write annotated=no"
        elif not all(outline.mask(annotation.size).any() for outline in annotation.outlines):
            yield f"a fracture of '{row.image}' has no pixel within the image; correct it there"


def _pixels(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]} pixels"


def _reader(path: Path) -> ModuleType:
    """What reads an image: by its first bytes, or else its ending."""
    return _dicom if _dicom.is_dicom(path) else _imaging


def _is_coco(row: Row) -> bool:
    return row.mask.lower().endswith(".json")
