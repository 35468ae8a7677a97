"""Outlines of fractures from a COCO file."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fracbench.errors import InputError
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fracbench_plugins.datasets._imaging import MOST_PIXELS

Polygon = tuple[float, ...]  # x, y, x, y, ...
_NO_FRACTURE = re.compile(r"\b(no|non|not|without)\b|unfractur|no(n|t)?fractur")
_FURTHEST = 1e6  # pixels: what lies beyond is no coordinate of a radiograph
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Outline:
    """One fracture: its polygons, or the run lengths of its mask."""

    polygons: tuple[Polygon, ...] = ()
    runs: tuple[int, ...] = ()

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Every polygon filled, edges included, or the runs, off and on in turn down the columns: bool size."""
        if self.runs:
            return np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs).reshape(size[::-1]).T
        canvas = Image.new("1", size[::-1])
        for polygon in self.polygons:
            ImageDraw.Draw(canvas).polygon(polygon, fill=1)
        return np.asarray(canvas)


@dataclass(frozen=True)
class Annotation:
    """The fractures of one image, none or more; ``size`` is (height, width) of the upright image.

    ``fractures`` counts those, too, that nobody outlined.
    """

    size: tuple[int, int]
    outlines: tuple[Outline, ...]
    fractures: int

    def instances(self) -> NDArray[np.bool_]:
        """One mask for each fracture: bool (n, height, width)."""
        masks = [outline.mask(self.size) for outline in self.outlines]
        return np.stack(masks) if masks else np.zeros((0, *self.size), bool)


def read_annotations(path: Path, boxes: bool = False) -> dict[str, Annotation]:
    """Annotations by file name, with / between its parts, of all images that are listed.

    The fracture category is known by its name, never by its id: it has "fractur" in it, and no "no". An annotation is
    one fracture, of polygons or run lengths; without either it has no outline, or with ``boxes`` its box, filled.
    Raises ``InputError`` for another format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); write the path of a COCO file") from error
    try:
        return _annotations(json.loads(content), boxes)
    except _BROKEN as error:
        what = f"has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise InputError(f"{path}: is no COCO file of fracture outlines: {what}; write it again") from error


def matched(file: Path, root: Path, images: Iterable[str]) -> dict[str, Annotation]:
    """Annotations of a COCO file by image, a path below ``root``; images that it does not list are left out.

    A file name of COCO is a path from ``root`` or from the COCO file; or else it shares its last part or parts with the
    image, as far as either goes. ``InputError`` where that fits two.
    """
    listed = read_annotations(file, boxes=True)
    wanted = list(images)
    found = {}
    for image in wanted:
        beside = posixpath.relpath(root / image, file.parent)
        exact = next((name for name in (image, beside) if name in listed), None)
        if exact:
            found[image] = exact
    ends: dict[tuple[str, ...], list[str]] = defaultdict(list)  # names by each of their ends, and by the whole
    whole: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in set(listed) - set(found.values()):
        parts = _parts(name)
        whole[parts].append(name)
        for start in range(len(parts)):
            ends[parts[start:]].append(name)
    faults, taken = [], {name: image for image, name in found.items()}
    for image in (image for image in wanted if image not in found):
        parts = _parts(image)
        shorter = (name for start in range(1, len(parts)) for name in whole.get(parts[start:], ()))
        fitting = {*ends.get(parts, ()), *shorter}
        if len(fitting) > 1:
            some = " or ".join(sorted(fitting)[:3])
            faults.append(f"{file.name}: '{image}' could be {some} there; write paths from the folder there")
        for name in fitting:
            if taken.setdefault(name, image) != image:
                text = f"'{name}' could be {taken[name]} or {image}; write paths from the folder there"
                faults.append(f"{file.name}: {text}")
            found[image] = name
    if faults:
        raise InputError(*faults)
    return {image: listed[name] for image, name in found.items()}


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _annotations(coco: Mapping[str, Any], boxes: bool) -> dict[str, Annotation]:
    names = {category["id"]: str(category["name"]) for category in coco["categories"]}
    wanted = {key for key, name in names.items() if _is_fracture(name.lower())}
    if not wanted:
        raise ValueError(f"none of its categories {sorted(names.values())} has 'fractur' in its name; rename one")
    images: dict[str, Any] = {}
    found: dict[Any, list[Outline | None]] = {}
    sizes = {}
    for image in coco["images"]:
        if not isinstance(image["file_name"], str):
            raise ValueError(f"the file_name of image {image['id']} is no text")
        name = image["file_name"].replace("\\", "/")
        if name in images or image["id"] in found:
            raise ValueError(f"image '{name}' (id {image['id']}) is listed twice")
        images[name], found[image["id"]], sizes[image["id"]] = image["id"], [], _size(image)
    for number, annotation in enumerate(coco["annotations"]):
        called = f"annotation {annotation.get('id', number)}"
        for key, of in (("category_id", names), ("image_id", found)):
            if annotation[key] not in of:
                raise ValueError(f"{called} has {key} {annotation[key]!r}, which is not listed")
        if annotation["category_id"] in wanted:
            image_id = annotation["image_id"]
            try:
                found[image_id].append(_outline(annotation, sizes[image_id], boxes))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{called}: {error}") from error
    return {
        name: Annotation(sizes[key], tuple(outline for outline in found[key] if outline), len(found[key]))
        for name, key in images.items()
    }


def _is_fracture(category: str) -> bool:
    return "fractur" in category and not _NO_FRACTURE.search(category.replace("_", " "))


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    height, width = (int(_number(image[name])) for name in ("height", "width"))
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"image '{image['file_name']}' says that it has {width} x {height} pixels")
    return height, width


def _outline(annotation: Mapping[str, Any], size: tuple[int, int], boxes: bool) -> Outline | None:
    """None where nothing is drawn: a polygon needs three corners."""
    segmentation = annotation.get("segmentation") or ()
    if isinstance(segmentation, Mapping):
        return Outline(runs=_runs(segmentation, size))
    polygons = [tuple(map(_coordinate, polygon)) for polygon in segmentation]
    if any(len(polygon) % 2 for polygon in polygons):
        raise ValueError("a polygon has an odd number of coordinates")
    kept = tuple(polygon for polygon in polygons if len(polygon) >= 6)
    if not kept and boxes and annotation.get("bbox"):
        kept = (_corners(annotation["bbox"]),)
    return Outline(kept) if kept else None


def _corners(box: Sequence[Any]) -> Polygon:
    """Of the pixels of a box (x, y, width, height); a filled polygon has its edges too."""
    left, top, width, height = map(_coordinate, box)
    if min(width, height) <= 0:
        raise ValueError(f"its box has {width:g} x {height:g} pixels")
    right, bottom = left + max(width - 1, 0), top + max(height - 1, 0)
    return left, top, right, top, right, bottom, left, bottom


def _coordinate(value: object) -> float:
    if not abs(number := _number(value)) <= _FURTHEST:
        raise ValueError(f"{value!r} where a coordinate is needed")
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number is needed")
    return float(value)


def _runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
    """Lengths of runs, as numbers or in COCO's text of 5 bits a letter, each but the first three less the last but one.

    Checked here: pycocotools writes beyond its memory where they are wrong.
    """
    counts = segmentation["counts"]
    runs = _from_text(counts) if isinstance(counts, str) else [int(_number(count)) for count in counts]
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"run lengths of size {segmentation['size']} for an image of {list(size)}")
    if min(runs, default=-1) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(f"its run lengths are not those of {size[0]} x {size[1]} pixels")
    return tuple(runs)


def _from_text(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more of this number follows
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
