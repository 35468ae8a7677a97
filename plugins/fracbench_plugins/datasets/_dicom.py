"""Reading DICOM radiographs. What is wrong with one is raised as a ``ValueError`` that gives the reason alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fracbench.errors import InputError
from numpy.typing import NDArray
from PIL import Image

_KINDS = ("MONOCHROME1", "MONOCHROME2")


def is_dicom(path: Path) -> bool:
    """Whether a file says in its first bytes that it is DICOM; its name may be anything."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def check_header(path: Path) -> None:
    """Raise ``ValueError`` where the file holds no single grey image; decodes no pixels."""
    with _opened(path):
        pass


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width)."""
    with _opened(path) as dataset:
        return int(dataset.Rows), int(dataset.Columns)


def read_gray(path: Path) -> NDArray[np.float32]:
    """Float32 (height, width) in [0, 1], as a viewer would first show it: bone bright, air dark.

    Modality LUT or rescaling, then the VOI LUT or else the first window, each onto its whole range; without either,
    from the lowest to the highest pixel. MONOCHROME1, where low is bright, is inverted; padding is black (DICOM PS3.3
    C.7.6.3 and C.11).
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    with _opened(path) as dataset:
        stored = dataset.pixel_array
        padding = _padding(stored, dataset)
        values = apply_modality_lut(stored, dataset)
        if dataset.get("VOILUTSequence"):
            bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
            values, low, high = apply_voi(values.astype(np.int64), dataset), 0.0, 2.0**bits - 1
        elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
            values = apply_windowing(values, dataset)
            with np.errstate(over="ignore"):  # of a sigmoid far out
                low, high = apply_windowing(np.array([-1e9, 1e9]), dataset)
        else:
            shown = values[~padding]
            low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 0.0)
        pixels = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            pixels = 1 - pixels
        if not np.isfinite(pixels).all():
            raise ValueError("has pixels that are not finite numbers")
        pixels[padding] = 0
        return pixels.astype(np.float32)


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_]:
    """Where the detector saw nothing, as PixelPaddingValue tells."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, bool)
    ends = [dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)]
    return (stored >= min(ends)) & (stored <= max(ends))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The dataset of a file with one grey image; large elements are read when asked for."""
    try:
        from pydicom import dcmread
    except ImportError:
        raise InputError(
            f"{path}: is DICOM, which needs pydicom, and that is not installed: pip install 'fracbench[dicom]'"
        ) from None
    try:
        dataset = dcmread(path, defer_size="64 KB")
        _check(dataset)
        yield dataset
    except ValueError:
        raise
    except Exception as error:  # damaged files raise whatever is nearest in pydicom and its decoders
        raise ValueError(f"cannot be read as DICOM ({' '.join(str(error).split()) or type(error).__name__})") from error


def _check(dataset: Any) -> None:
    if "PixelData" not in dataset:
        raise ValueError(f"is DICOM without an image ({dataset.get('SOPClassUID', 'of no class').name})")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ValueError(f"has {dataset.NumberOfFrames} frames where a radiograph has one")
    kind = dataset.get("PhotometricInterpretation", "nothing")
    if kind not in _KINDS or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise ValueError(f"has pixels of kind {kind} where a radiograph has {' or '.join(_KINDS)}")
    sides = int(dataset.Rows), int(dataset.Columns)
    if min(sides) < 1 or sides[0] * sides[1] > 2 * (Image.MAX_IMAGE_PIXELS or 2**32):
        raise ValueError(f"says that it has {sides[1]} x {sides[0]} pixels")
