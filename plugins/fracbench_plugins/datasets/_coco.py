"""Fracture polygons from a COCO file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fracbench.errors import InputError
from numpy.typing import NDArray
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Annotation:
    """Fracture polygons (x, y, x, y, ...) of one image; ``size`` is (height, width) of the upright image."""

    size: tuple[int, int]
    polygons: tuple[tuple[float, ...], ...]

    def instances(self) -> NDArray[np.bool_]:
        """Every polygon filled, edges included: bool (n, height, width)."""
        masks = np.zeros((len(self.polygons), *self.size), bool)
        for mask, polygon in zip(masks, self.polygons, strict=True):
            canvas = Image.new("1", self.size[::-1])
            ImageDraw.Draw(canvas).polygon(polygon, fill=1)
            mask[:] = np.asarray(canvas)
        return masks


def read_annotations(path: Path) -> dict[str, Annotation]:
    """Annotations by file name. The fracture category is known by its name, never by its id.

    An annotation may have several polygons, or none with an area. Raises ``InputError`` for another format.
    """
    try:
        return _annotations(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no COCO file of fracture polygons ({error!r}); unpack it again") from error


def _annotations(coco: Mapping[str, Any]) -> dict[str, Annotation]:
    wanted = {c["id"] for c in coco["categories"] if str(c["name"]).lower().startswith("fractur")}
    if not wanted:
        raise ValueError(f"no fracture among its categories {[c['name'] for c in coco['categories']]}")
    outlines: dict[int, list[tuple[float, ...]]] = {}
    for annotation in coco["annotations"]:
        if annotation["category_id"] in wanted:
            polygons = [tuple(map(float, polygon)) for polygon in annotation["segmentation"]]
            outlines.setdefault(annotation["image_id"], []).extend(p for p in polygons if len(p) >= 6)
    return {
        Path(image["file_name"]).name: Annotation((image["height"], image["width"]), tuple(outlines[image["id"]]))
        for image in coco["images"]
        if image["id"] in outlines
    }
