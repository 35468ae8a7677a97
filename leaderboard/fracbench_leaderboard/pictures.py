"""Radiographs, maps and masks of one case, as pictures."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation

SIDE = 384  # pixels
LINE, LETTERS, CAPTION = 16, 60, 3  # height of a line, letters on it, and lines below a picture
OUTLINE = (86, 180, 233)
# control points of each colour map, dark to light; viridis and cividis keep their order for colour-blind readers
COLOUR_MAPS = {
    "orange": ((200, 80, 0), (255, 140, 0), (255, 220, 130)),
    "viridis": ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    "cividis": ((0, 34, 78), (66, 78, 107), (125, 124, 120), (188, 175, 111), (254, 232, 56)),
}


def plane(png: bytes) -> NDArray[np.float64]:
    """A stored picture as (side, side) values in [0, 1]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=np.float64) / 255


def enlarge(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("L").resize((SIDE, SIDE), Image.Resampling.NEAREST)


def overlay(
    radiograph: bytes, mask: bytes | None, attributions: bytes | None, opacity: float = 0.7, colours: str = "orange"
) -> Image.Image:
    """The radiograph under attributions in colour, opaque where they are strong, and the outline of the mask."""
    colour = np.repeat(plane(radiograph)[..., None] * 255, 3, axis=2)
    if attributions is not None:
        colour *= 0.7  # so that colours stand out from bright bone
        # the square root shows weak attributions too, which a few strong pixels would else leave dark
        strength = np.sqrt(plane(attributions))
        cover = opacity * strength[..., None]
        colour = colour * (1 - cover) + coloured(strength, colours) * cover
    picture = Image.fromarray(colour.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return picture if mask is None else outlined(picture, mask)


def together(shown: Sequence[tuple[str, Image.Image]], columns: int) -> bytes:
    """Pictures with their captions below as one PNG, so many beside each other."""
    step = SIDE + CAPTION * LINE
    sheet = Image.new("RGB", (min(columns, len(shown)) * SIDE, -(-len(shown) // columns) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (caption, picture) in enumerate(shown):
        left, top = place % columns * SIDE, place // columns * step
        sheet.paste(picture.convert("RGB"), (left, top))
        draw.text((left + 4, top + SIDE), "\n".join(textwrap.wrap(caption, LETTERS)[:CAPTION]), fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    return buffer.getvalue()


def amplified(perturbation: bytes, factor: int) -> Image.Image:
    """A stored perturbation, grey where there is none, so many times as strong."""
    values = (plane(perturbation) - 0.5) * factor + 0.5
    picture = Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def coloured(values: NDArray[np.float64], colours: str) -> NDArray[np.float64]:
    """Values in [0, 1] as (..., 3) colours in [0, 255], linear between the points of a colour map."""
    points = np.array(COLOUR_MAPS[colours], dtype=float)
    at = np.linspace(0, 1, len(points))
    return np.stack([np.interp(values, at, points[:, channel]) for channel in range(3)], axis=-1)


def outlined(picture: Image.Image, mask: bytes) -> Image.Image:
    """The picture with a line around the mask, two pixels wide, so that what it marks stays to be seen."""
    inside = np.asarray(Image.open(io.BytesIO(mask)).resize(picture.size, Image.Resampling.NEAREST)) > 127
    pixels = np.asarray(picture).copy()
    pixels[outline(inside, 2)] = OUTLINE
    return Image.fromarray(pixels)


def outline(inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels around a region, a line so many of them wide."""
    return np.asarray(binary_dilation(inside, iterations=width) & ~inside)
