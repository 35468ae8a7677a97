"""Reading image files. What is wrong with one is raised as a ``ValueError`` that gives the reason alone."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

RADIOGRAPHS = ("PNG", "JPEG")
MOST_PIXELS = 2 * 89_478_485  # what Pillow opens, too
_SIXTEEN_BIT = ("I;16", "I;16B", "I")
_BROKEN = (OSError, SyntaxError, EOFError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
_END_OF_IMAGE = b"\xff\xd9"


@contextmanager
def opened(path: Path, formats: tuple[str, ...] = RADIOGRAPHS, tolerant: bool = False) -> Iterator[Image.Image]:
    """An open image; every way in which it can be broken becomes a ``ValueError`` with the reason.

    ``tolerant`` completes a JPEG that ends early: with end markers after its bytes the decoder leaves the
    missing rest grey, and Pillow's process-wide switch stays as it is.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError
        source = io.BytesIO(path.read_bytes() + _END_OF_IMAGE * 64) if tolerant else path
        with Image.open(source, formats=formats) as picture:
            yield picture
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except UnidentifiedImageError:
        raise ValueError(f"is not a readable {' or '.join(formats)} image") from None
    except _BROKEN as error:
        raise ValueError(f"cannot be read ({error})") from error


def check_header(path: Path) -> None:
    """Raise ``ValueError`` where the file is missing or its header is no PNG or JPEG; reads no pixels."""
    with opened(path):
        pass


def read_gray(path: Path, tolerant: bool = False) -> NDArray[np.float32]:
    """Float32 (height, width) in [0, 1], upright by the EXIF orientation; colour becomes luminance."""
    with opened(path, tolerant=tolerant) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in _SIXTEEN_BIT:
            return np.asarray(upright).astype(np.float32) / np.float32(65535)
        return np.asarray(upright.convert("L")).astype(np.float32) / np.float32(255)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Bool (height, width) of a PNG: True where a pixel is neither black nor transparent."""
    with opened(path, ("PNG",)) as picture:
        if picture.mode in _SIXTEEN_BIT:
            return np.asarray(picture) != 0
        pixels = np.asarray(picture.convert("RGBA"))
    return pixels[..., :3].any(-1) & (pixels[..., 3] > 0)


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) after the EXIF orientation."""
    with opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined(lines: list[str]) -> str:
    """SHA-256 (hex) of lines in sorted order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
