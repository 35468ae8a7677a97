"""Your own radiographs: a folder with a manifest.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from fracbench.contracts import Radiograph, Sample
from fracbench.errors import InputError, did_you_mean
from scipy import ndimage

from fracbench_plugins.datasets import _imaging
from fracbench_plugins.datasets._manifest import Manifest, Row, read_manifest


@dataclass(frozen=True)
class Folder:
    """Radiographs listed in ``root/manifest``, with the columns image, label, mask, group and split.

    Images are PNG or JPEG with 8 or 16 bits. A mask is a PNG of the upright image's size, nonzero on the
    fracture; its 8-connected parts are the instances. An empty group is the image itself. The column
    ``annotated`` (yes, no) is optional; every further column becomes metadata. A sample's id is its image
    path. Raises ``InputError`` with one line for each fault.
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
            image = _imaging.read_gray(self._folder / row.image)
            if not row.mask:
                return Radiograph(image, np.zeros((0, *image.shape), bool))
            name = row.mask
            mask = _imaging.read_mask(self._folder / row.mask)
        except ValueError as error:
            raise InputError(self._line(row, name, f"{error}; save the file again")) from error
        parts, count = ndimage.label(mask, np.ones((3, 3)))
        return Radiograph(image, parts[None] == np.arange(1, count + 1)[:, None, None])

    def image_hash(self, sample: Sample) -> str:
        """SHA-256 (hex) of the bytes of a sample's image file."""
        return _imaging.digest(self._folder / sample.id)

    def fingerprint(self, split: str) -> str:
        """SHA-256 (hex) over the split's rows and the bytes of their images and masks, in any order."""
        return _imaging.combined(
            [
                " ".join(
                    [
                        _imaging.digest(self._folder / row.image),
                        _imaging.digest(self._folder / row.mask) if row.mask else "-",
                        row.canonical(),
                    ]
                )
                for row in self._checked(split)
            ]
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
            if row.mask:
                size = _imaging.upright_size(self._folder / row.image)
            else:
                _imaging.check_header(self._folder / row.image)
        except ValueError as error:
            faults.append(self._line(row, row.image, f"{error}; write the path of a PNG or JPEG image"))
        if not row.mask:
            return faults
        try:
            mask = _imaging.read_mask(self._folder / row.mask)
        except ValueError as error:
            return [*faults, self._line(row, row.mask, f"{error}; write the path of a PNG mask")]
        if size is not None and mask.shape != size:
            ours, theirs = (f"{width} x {height}" for height, width in (mask.shape, size))
            text = f"mask has {ours} pixels and the image {theirs}; save the mask at the image's size"
            faults.append(self._line(row, row.mask, text))
        if row.label == 0 and mask.any():
            text = "label is 0 and the mask is not empty; write label 1 or clear the mask cell"
            faults.append(self._line(row, row.mask, text))
        if row.label == 1 and not mask.any():
            text = "label is 1 and the mask is empty; paint the fracture nonzero, or clear the cell and write"
            faults.append(self._line(row, row.mask, f"{text} annotated=no"))
        return faults
