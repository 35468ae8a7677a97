"""Outlines of fractures from a COCO file."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from fracbench.errors import InputError
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Polygon = tuple[float, ...]  # x, y, x, y, ...


@dataclass(frozen=True)
class Outline:
    """One fracture: its polygons, or the run lengths of its mask."""

    polygons: tuple[Polygon, ...] = ()
    runs: str | tuple[int, ...] = ()

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Every polygon filled, edges included, or the runs decoded: bool (height, width)."""
        if self.runs:
            return _decoded(self.runs, size)
        canvas = Image.new("1", size[::-1])
        for polygon in self.polygons:
            ImageDraw.Draw(canvas).polygon(polygon, fill=1)
        return np.asarray(canvas)


@dataclass(frozen=True)
class Annotation:
    """The fractures of one image; ``size`` is (height, width) of the upright image."""

    size: tuple[int, int]
    outlines: tuple[Outline, ...]

    def instances(self) -> NDArray[np.bool_]:
        """One mask for each fracture: bool (n, height, width)."""
        masks = [outline.mask(self.size) for outline in self.outlines]
        return np.stack(masks) if masks else np.zeros((0, *self.size), bool)


def read_annotations(path: Path, boxes: bool = False) -> dict[str, Annotation]:
    """Annotations by file name, as written, of all images with an annotation of a fracture.

    The fracture category is known by its name, never by its id: it has "fractur" in it. An annotation is one
    fracture, of polygons or run lengths (these need pycocotools). One without either is left out, or with ``boxes``
    its box, filled. Raises ``InputError`` for another format.
    """
    try:
        return _annotations(json.loads(path.read_bytes()), boxes)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no COCO file of fracture outlines ({error!r}); write it again") from error


def matched(file: Path, root: Path, images: Iterable[str]) -> dict[str, Annotation]:
    """Annotations of a COCO file by image, a path below ``root``; images that it does not list are left out.

    A file name of COCO is a path from ``root`` or from the COCO file, or shares its last part or parts with the image,
    as far as either goes. ``InputError`` where that fits two.
    """
    listed = read_annotations(file, boxes=True)
    by_end: dict[str, list[str]] = {}
    for name in listed:
        by_end.setdefault(posixpath.basename(name), []).append(name)
    found: dict[str, Annotation] = {}
    taken: dict[str, str] = {}
    faults = []
    for image in images:
        beside = posixpath.relpath(root / image, file.parent)
        exact = [name for name in (image, beside) if name in listed][:1]
        similar = [name for name in by_end.get(posixpath.basename(image), ()) if _ends_alike(name, image)]
        fitting = exact or similar
        if len(fitting) > 1:
            faults.append(f"{file.name}: '{image}' could be {' or '.join(fitting)}; write paths from the folder there")
        elif fitting:
            (name,) = fitting
            found[image] = listed[name]
            if taken.setdefault(name, image) != image:
                faults.append(
                    f"{file.name}: '{name}' could be {taken[name]} or {image}; write paths from the folder there"
                )
    if faults:
        raise InputError(*faults)
    return found


def _ends_alike(one: str, other: str) -> bool:
    a, b = (PurePosixPath(name.replace("\\", "/")).parts[::-1] for name in (one, other))
    return all(x == y for x, y in zip(a, b, strict=False))


def _annotations(coco: Mapping[str, Any], boxes: bool) -> dict[str, Annotation]:
    wanted = {c["id"] for c in coco["categories"] if "fractur" in str(c["name"]).lower()}
    if not wanted:
        raise ValueError(f"no fracture among its categories {[c['name'] for c in coco['categories']]}")
    sizes = {image["id"]: (int(image["height"]), int(image["width"])) for image in coco["images"]}
    found: dict[int, list[Outline]] = {}
    for annotation in coco["annotations"]:
        if annotation["category_id"] in wanted:
            image = annotation["image_id"]
            outline = _outline(annotation.get("segmentation") or (), sizes[image])
            if outline is None and boxes and annotation.get("bbox"):
                outline = Outline((_corners(annotation["bbox"]),))
            found.setdefault(image, []).extend([outline] if outline else [])
    return {
        image["file_name"]: Annotation(sizes[image["id"]], tuple(found[image["id"]]))
        for image in coco["images"]
        if image["id"] in found
    }


def _outline(segmentation: Any, size: tuple[int, int]) -> Outline | None:
    """None where nothing is drawn: a polygon needs three corners."""
    if isinstance(segmentation, Mapping):
        if tuple(segmentation["size"]) != size:
            raise ValueError(f"run lengths of size {segmentation['size']} for an image of {list(size)}")
        counts = segmentation["counts"]
        _mask_library()
        return Outline(runs=counts if isinstance(counts, str) else tuple(map(int, counts)))
    polygons = [tuple(map(float, polygon)) for polygon in segmentation]
    kept = tuple(polygon for polygon in polygons if len(polygon) >= 6)
    return Outline(kept) if kept else None


def _corners(box: Sequence[float]) -> Polygon:
    """Of the pixels of a box (x, y, width, height); a filled polygon has its edges too."""
    left, top, width, height = map(float, box)
    right, bottom = left + max(width - 1, 0), top + max(height - 1, 0)
    return left, top, right, top, right, bottom, left, bottom


def _decoded(runs: str | tuple[int, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    library = _mask_library()
    encoded: Any = {"size": list(size), "counts": runs}
    try:
        if isinstance(runs, tuple):
            encoded = library.frPyObjects({"size": list(size), "counts": list(runs)}, *size)
        return np.asarray(library.decode(encoded)).astype(bool)
    except (ValueError, TypeError) as error:
        raise InputError(f"run lengths of a mask cannot be read ({error})") from error


def _mask_library() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise InputError(
            "run lengths in a COCO file need pycocotools, which is not installed: pip install 'fracbench[coco]'"
        ) from None
    return mask
