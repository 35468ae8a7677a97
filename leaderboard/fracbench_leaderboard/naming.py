"""Where the names of a figure's points go, so that none lies on another."""

from __future__ import annotations

from collections.abc import Sequence

OFFSETS = (-14, 16, -30, 32)  # pixels below a point, the first that is free
LETTER, LINE, MARK = 6.4, 13, 6  # pixels: of a letter across, of a line of text, and from the middle of a mark
Box = tuple[float, float, float, float]  # left, top, right, bottom


def name_places(points: Sequence[tuple[float, float]], names: Sequence[str]) -> list[int | None]:
    """How many pixels below its point (x, y; pixels, from the top left) each name stands; None where it finds no place.

    The first choose first. Points beyond the names have none, and their own places are kept free too.
    """
    taken = [_box(x, y, 2 * MARK, 2 * MARK) for x, y in points]
    found: list[int | None] = []
    for (x, y), name in zip(points, names, strict=False):
        boxes = {offset: _box(x, y + offset, LETTER * len(name), LINE) for offset in OFFSETS}
        free = [offset for offset, box in boxes.items() if not any(_meet(box, other) for other in taken)]
        found.append(free[0] if free else None)
        taken += [boxes[free[0]]] if free else []
    return found


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
