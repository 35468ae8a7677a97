"""FracAtlas (Abedeen et al., Scientific Data 2023, CC BY 4.0) in the layout of its official archive."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from fracbench.contracts import Archive, Radiograph, Sample
from fracbench.errors import InputError
from fracbench.files import cache_dir, write_atomic
from numpy.typing import NDArray

from fracbench_plugins.datasets import _fracatlas_findings as _findings
from fracbench_plugins.datasets import _groups, _imaging
from fracbench_plugins.datasets._coco import Annotation, Polygon, read_annotations
from fracbench_plugins.datasets._groups import SPLITS
from fracbench_plugins.datasets._near_duplicates import near_duplicates
from fracbench_plugins.datasets._tables import AGAIN, read_table

_FOLDERS = ("Fractured", "Non_fractured")
_COCO = "Annotations/COCO JSON/COCO_fracture_masks.json"
RELEASE_7 = Archive(
    url="https://ndownloader.figshare.com/files/65518038",
    size=338_436_460,
    md5="fe9da2c7c285915ebee69dfdab8fd396",
    folder="FracAtlas",
    page="https://doi.org/10.6084/m9.figshare.22363012",
    terms="Abedeen et al. 2023, doi:10.1038/s41597-023-02432-4, CC BY 4.0: name the authors wherever results show it",
)
LAYOUT = (*(f"images/{folder}" for folder in _FOLDERS), _COCO, "dataset.csv")
_PARTS = ("hand", "leg", "hip", "shoulder")
_VIEWS = ("frontal", "lateral", "oblique")
_FLAGS = (*_PARTS, *_VIEWS, "mixed", "hardware", "multiscan", "fractured")


@dataclass(frozen=True)
class FracAtlas:
    """The FracAtlas radiographs below ``root``, split by group with the shares ``fractions``.

    An annotation decides the label, whatever dataset.csv says; an image in ``Fractured/`` without a polygon
    is fractured and not annotated. Every annotation is an instance. Groups are byte-identical images and
    those of ``groups``, a JSON list of near-duplicates ({"groups": [[name, ...], ...]}) relative to root; by
    default ``near-duplicates.json`` in root or ``<root>-near-duplicates.json`` beside it, if there, and else those that
    look nearly identical, which takes a minute once. A group lies in one split, by a hash of ``seed`` and its name. A
    group with opposite labels is ambiguous: it is kept where it falls into train and left out where it falls into val
    or test.
    """

    layout: ClassVar[Sequence[str]] = LAYOUT
    archive: ClassVar[Archive] = RELEASE_7

    root: Path | None
    fractions: Sequence[float] = (0.7, 0.1, 0.2)
    seed: int = 0
    groups: str | Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", _groups.checked_fractions(self.fractions))

    @property
    def splits(self) -> Sequence[str]:
        return SPLITS

    def samples(self, split: str) -> Sequence[Sample]:
        """All images of a split, sorted by id, which is the file name."""
        _groups.check_split("fracatlas", split)
        return self._by_split[split]

    def read(self, sample: Sample) -> Radiograph:
        """Pixels and polygons of one image at native size, upright; a truncated JPEG is grey at its end."""
        path = self._files.get(sample.id)
        if path is None:
            raise InputError(f"{self._folder}: has no image '{sample.id}'; take samples from this dataset")
        image = self._pixels(path)
        annotation = self._annotations.get(sample.id)
        if annotation is None:
            return Radiograph(image, np.zeros((0, *image.shape), bool))
        if annotation.size != image.shape:
            (height, width), (rows, columns) = annotation.size, image.shape
            raise InputError(
                f"{path}: image has {columns} x {rows} pixels and its annotation {width} x {height}; "
                "unpack the archive again"
            )
        return Radiograph(image, annotation.instances())

    def image_hash(self, sample: Sample) -> str:
        """SHA-256 (hex) of the bytes of a sample's image file."""
        return self._digests[sample.id]

    def fingerprint(self, split: str) -> str:
        """SHA-256 (hex) over the bytes of the split's images, their annotations, labels and groups."""
        return _imaging.combined(
            [
                json.dumps([self._digests[s.id], s.id, s.label, s.group, dict(s.metadata), self._outlines(s.id)])
                for s in self.samples(split)
            ]
        )

    def findings(self) -> Iterator[tuple[str, str]]:
        """(fault, file name) of all that is wrong with the files, also where it is dealt with."""
        fractured = {name: self._fractured(name) for name in self._files}
        for name, path in self._files.items():
            annotation = self._annotations.get(name)
            found = [*_findings.of_file(path)]
            found += _findings.of_labels(path.parent.name, annotation, self._rows.get(name))
            if annotation is not None:
                found += _findings.of_annotation(annotation)
            yield from ((fault, name) for fault in found)
        kept = {sample.id for of in self._by_split.values() for sample in of}
        yield from (("in a group with opposite labels: left out of val and test", name)
                    for name in self._files if name not in kept)  # fmt: skip
        near, official = self._near_duplicates(), _findings.official_splits(self._folder)
        for fault, groups in _findings.of_groups(self._digests, near, fractured, official):
            yield from ((fault, names) for names in groups)

    def _fractured(self, name: str) -> bool:
        return name in self._annotations or self._files[name].parent.name == "Fractured"

    @cached_property
    def _folder(self) -> Path:
        if self.root is None:
            raise InputError("fracatlas needs --data DIR; `fracbench data fracatlas` downloads it to ./FracAtlas")
        root = Path(self.root)
        missing = [part for part in LAYOUT if not _there(root / part)]
        if missing:
            inner = root / "FracAtlas"
            near = f". Did you mean {inner}?" if _there(inner / missing[0]) else ""
            raise InputError(
                f"{root}: '{missing[0]}' is missing; give the folder of the unpacked FracAtlas archive with "
                f"{', '.join(LAYOUT)}, or move this one away: `fracbench data fracatlas` downloads it{near}"
            )
        return root

    def _outlines(self, name: str) -> Sequence[Polygon] | None:
        annotation = self._annotations.get(name)
        return None if annotation is None else [p for outline in annotation.outlines for p in outline.polygons]

    @cached_property
    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        faults = []
        for path in (path for folder in _FOLDERS for path in sorted((self._folder / "images" / folder).iterdir())):
            suffix = path.suffix.lower()
            if suffix in (".jpeg", ".png", ".bmp", ".tif", ".tiff"):
                faults.append(f"{path}: FracAtlas has .jpg images only; unpack the archive again")
            elif suffix == ".jpg" and path.is_file():
                if path.name in found:
                    faults.append(f"{path}: there is {found[path.name]} too; unpack the archive again")
                found[path.name] = path
        if faults:
            raise InputError(*faults)
        return dict(sorted(found.items()))

    @cached_property
    def _annotations(self) -> dict[str, Annotation]:
        listed = read_annotations(self._folder / _COCO)
        named: dict[str, Annotation] = {}
        for name, of in listed.items():
            if named.setdefault(Path(name).name, of) is not of:
                raise InputError(f"{self._folder / _COCO}: lists {Path(name).name} in two folders; {AGAIN}")
        return {name: of for name, of in named.items() if of.fractures}

    @cached_property
    def _metadata(self) -> dict[str, dict[str, str | bool]]:
        return {name: _facts(row) for name, row in self._rows.items()}

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        return read_table(self._folder / "dataset.csv", "image_id", flags=_FLAGS)

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: _imaging.digest(path) for name, path in self._files.items()}

    def _links(self) -> list[list[str]]:
        same = defaultdict(list)
        for name, digest in self._digests.items():
            same[digest].append(name)
        return [*same.values(), *self._near_duplicates()]

    def _near_duplicates(self) -> list[list[str]]:
        root = self._folder.absolute()
        default = (root / "near-duplicates.json", root.parent / f"{root.name}-near-duplicates.json")
        paths = default if self.groups is None else (root / self.groups,)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            return _groups.read(path)
        if self.groups is None:
            return self._looked_for()
        raise InputError(f"{paths[0]}: there is no such file; write groups as a path relative to --data")

    def _looked_for(self) -> list[list[str]]:
        """Groups of images that look nearly identical; kept in the user's cache folder for these bytes."""
        content = hashlib.sha256("".join(sorted(self._digests.values())).encode()).hexdigest()
        file = cache_dir() / "near-duplicates" / f"{content[:40]}.json"
        if not file.is_file():
            print("fracatlas: looking for nearly identical images, once", file=sys.stderr, flush=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps({"groups": near_duplicates(self._pictures())}).encode())
        return _groups.read(file)

    def _pictures(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for name, path in self._files.items():
            with contextlib.suppress(InputError):  # who reads the image itself will say so
                yield name, self._pixels(path)

    def _pixels(self, path: Path) -> NDArray[np.float32]:
        try:
            return _imaging.read_gray(path, tolerant=True)
        except ValueError as error:
            raise InputError(f"{path}: {error}; {AGAIN}") from error

    @cached_property
    def _by_split(self) -> dict[str, list[Sample]]:
        listed = dict.fromkeys(self._metadata, "dataset.csv") | dict.fromkeys(self._annotations, _COCO)
        absent = {name: source for name, source in listed.items() if name not in self._files}
        if absent:
            text = "there is no such image; unpack the archive again"
            raise InputError(*(f"{source}: {name}: {text}" for name, source in absent.items()))
        groups = _groups.joined(self._files, self._links())
        samples = [self._sample(name, groups[name]) for name in sorted(self._files)]
        labels: dict[str, set[int]] = defaultdict(set)
        for sample in samples:
            labels[sample.group].add(sample.label)
        splits: dict[str, list[Sample]] = {split: [] for split in SPLITS}
        for sample in samples:
            split = _groups.split_of(self.seed, sample.group, self.fractions)
            if split == "train" or len(labels[sample.group]) == 1:
                splits[split].append(sample)
        return splits

    def _sample(self, name: str, group: str) -> Sample:
        annotation = self._annotations.get(name)
        fractured = self._fractured(name)
        annotated = not fractured or (annotation is not None and bool(annotation.outlines))
        return Sample(name, int(fractured), group, annotated, self._metadata.get(name, {}))


def _there(part: Path) -> bool:
    """Whether this part of the layout is there: what has a suffix is a file, all else a folder."""
    return part.is_file() if part.suffix else part.is_dir()


def _facts(row: Mapping[str, str]) -> dict[str, str | bool]:
    parts = [part for part in _PARTS if row.get(part) == "1"]
    body_part = "mixed" if len(parts) > 1 or row.get("mixed") == "1" else "".join(parts) or "unknown"
    return {
        "body_part": body_part,
        "hardware": row.get("hardware") == "1",
        "multiscan": row.get("multiscan") == "1",
        "view": "+".join(view for view in _VIEWS if row.get(view) == "1") or "unknown",
    }
