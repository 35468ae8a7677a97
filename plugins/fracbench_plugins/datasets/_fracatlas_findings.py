"""What is wrong with the files of FracAtlas, each fault with the names of the files that have it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fracbench.errors import InputError

from fracbench_plugins.datasets import _imaging
from fracbench_plugins.datasets._coco import Annotation
from fracbench_plugins.datasets._tables import AGAIN

OFFICIAL = "Utilities/Fracture Split"
_ORIENTATION = 0x0112


def of_file(path: Path) -> Iterator[str]:
    """What is to be known of one image file: its orientation tag, colour, an early end."""
    try:
        with _imaging.opened(path) as picture:
            turned, colour = picture.getexif().get(_ORIENTATION, 1) != 1, picture.mode != "L"
    except ValueError:
        return  # who reads it will say so
    if turned:
        yield "EXIF orientation: annotations are in the upright frame"
    if colour:
        yield "stored in colour: luminance is read"
    try:
        with _imaging.opened(path) as picture:
            picture.load()
    except ValueError:
        yield "JPEG ends early: the rest is grey"


def of_annotation(annotation: Annotation) -> Iterator[str]:
    """What is wrong with the polygons of one image."""
    height, width = annotation.size
    polygons = [polygon for outline in annotation.outlines for polygon in outline.polygons]
    if any(min(p) < 0 or max(p[::2]) > width or max(p[1::2]) > height for p in polygons):
        yield "polygon beyond the edge of the image"
    if not polygons:
        yield "annotation without a polygon"
    elif not all(mask.any() for mask in annotation.instances()):
        yield "polygon without a pixel"


def of_labels(folder: str, annotation: Annotation | None, row: Mapping[str, str] | None) -> Iterator[str]:
    """Where folder, annotation and dataset.csv disagree on one image."""
    drawn = len(annotation.outlines) if annotation else 0
    if folder == "Fractured" and annotation is None:
        yield "in Fractured/ without an annotation: fractured, not annotated"
    if folder != "Fractured" and drawn:
        yield "in Non_fractured/ with a polygon: fractured"
    if row is None:
        yield "not in dataset.csv"
        return
    if row.get("fractured") == "0" and (folder == "Fractured" or drawn):
        yield "not fractured by dataset.csv, fractured by folder or polygon: fractured"
    if row.get("fractured") == "1" and folder != "Fractured" and not drawn:
        yield "fractured by dataset.csv, normal by folder and without a polygon: normal"
    counted = row.get("fracture_count", "")
    if counted.isdigit() and int(counted) != drawn:
        yield "fracture_count of dataset.csv is not the number of polygons"


def official_splits(root: Path) -> dict[str, str]:
    """Official split by file name, of those that are listed: fractured images alone."""
    found: dict[str, str] = {}
    for file in sorted((root / OFFICIAL).glob("*.csv")):
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                found |= {row[0]: file.stem for row in csv.reader(opened) if row and row[0].endswith(".jpg")}
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{file}: is not CSV in UTF-8 ({error}); {AGAIN}") from None
    return found


def of_groups(
    digests: Mapping[str, str],
    near: Sequence[Sequence[str]],
    fractured: Mapping[str, bool],
    official: Mapping[str, str],
) -> Iterator[tuple[str, list[str]]]:
    """Identical and near-identical files, those with opposite labels, and those that cross the official splits."""
    same = defaultdict(list)
    for name, digest in digests.items():
        same[digest].append(name)
    identical = [sorted(names) for names in same.values() if len(names) > 1]
    similar = [here for group in near if len(here := sorted(name for name in group if name in digests)) > 1]
    for what, groups in (("byte-identical images", identical), ("near-identical images", similar)):
        opposite = [of for of in groups if len({fractured[name] for name in of}) > 1]
        across = [of for of in groups if len({official[name] for name in of if name in official}) > 1]
        for fault, some in ((what, groups), (f"{what} with opposite labels", opposite),
                            (f"{what} in different official splits", across)):  # fmt: skip
            yield fault, [" = ".join(names) for names in sorted(some)]
