"""Reading DICOM radiographs. What is wrong with one is raised as a ``ValueError`` that gives the reason alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fracbench.errors import InputError
from numpy.typing import NDArray

from fracbench_plugins.datasets._imaging import MOST_PIXELS

_KINDS = ("MONOCHROME1", "MONOCHROME2")
_FLOATING = ("FloatPixelData", "DoubleFloatPixelData")
_ENDINGS = (".dcm", ".dicom")


def is_dicom(path: Path) -> bool:
    """Whether a file's first bytes, or else its ending, say that it is DICOM."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() in _ENDINGS
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
    from pydicom.pixels.processing import apply_modality_lut

    with _opened(path) as dataset:
        stored = dataset.pixel_array
        padding = _padding(stored, dataset)
        values = apply_modality_lut(stored, dataset).astype(np.float64)
        pixels = _looked_up(values, dataset)
        if pixels is None:
            pixels = _windowed(values, dataset)
        if pixels is None:
            shown = values[~padding]
            low, high = (shown.min(), shown.max()) if shown.size else (0.0, 0.0)
            pixels = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            pixels = 1 - pixels
        if not np.isfinite(pixels).all():
            raise ValueError("has pixels that are not finite numbers")
        pixels[padding] = 0
        return pixels.astype(np.float32)


def _looked_up(values: NDArray[np.float64], dataset: Any) -> NDArray[np.float64] | None:
    """Through the first VOI LUT with data, C.11.2.1.1; None without one. pydicom's own wraps tables of 8 bits."""
    table = next((of for of in dataset.get("VOILUTSequence") or () if of.get("LUTData") is not None), None)
    if table is None:
        return None
    length, first, bits = (int(of) for of in table.LUTDescriptor)
    length = length or 2**16
    if first >= 2**15 and dataset.PixelRepresentation == 1:
        first -= 2**16  # a signed number that was read as unsigned
    data = table.LUTData
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * length else f"{order}u2")
    entries = np.asarray(data, dtype=np.float64)[:length]
    return entries[np.clip(values - first, 0, len(entries) - 1).astype(int)] / (2.0**bits - 1)


def _windowed(values: NDArray[np.float64], dataset: Any) -> NDArray[np.float64] | None:
    """Within the first window, C.11.2.1.2 and C.11.2.1.3; None without one that has a width."""
    ends = [dataset.get(name) for name in ("WindowCenter", "WindowWidth")]
    if any(end is None or end == "" for end in ends):
        return None
    center, width = (float(end if isinstance(end, int | float | str) else end[0]) for end in ends)
    kind = dataset.get("VOILUTFunction") or "LINEAR"
    if (width < 1 and kind == "LINEAR") or width <= 0:
        return None
    if kind == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if kind == "LINEAR":
        center, width = center - 0.5, width - 1
    elif kind != "LINEAR_EXACT":
        raise ValueError(f"has a window of the unknown kind {kind}")
    return np.clip((values - center) / max(width, 1e-12) + 0.5, 0, 1)


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_]:
    """Where the detector saw nothing, as PixelPaddingValue tells."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = np.array([value, value if limit is None else limit]).astype(stored.dtype)  # files mix up signs
    return (stored >= ends.min()) & (stored <= ends.max())


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
        with warnings.catch_warnings(action="ignore"):  # of values that are odd and do not matter here
            dataset = dcmread(path, defer_size="64 KB", force=path.suffix.lower() in _ENDINGS)
            _check(dataset, path)
            yield dataset
    except ValueError:
        raise
    except Exception as error:  # damaged files raise whatever is nearest in pydicom and its decoders
        raise ValueError(f"cannot be read as DICOM ({' '.join(str(error).split()) or type(error).__name__})") from error


def _check(dataset: Any, path: Path) -> None:
    if any(name in dataset for name in _FLOATING):
        raise ValueError("has floating-point pixels where a radiograph has whole numbers")
    if "PixelData" not in dataset:
        raise ValueError("is no DICOM file with an image")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ValueError(f"has {dataset.NumberOfFrames} frames where a radiograph has one")
    kind = dataset.get("PhotometricInterpretation", "nothing")
    if kind not in _KINDS or int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise ValueError(f"has pixels of kind {kind} where a radiograph has {' or '.join(_KINDS)}")
    sides = [int(dataset.get(name) or 0) for name in ("Rows", "Columns")]
    if min(sides) < 1 or sides[0] * sides[1] > MOST_PIXELS:
        raise ValueError(f"says that it has {sides[1]} x {sides[0]} pixels")
    _check_decoder(dataset, path)


def _check_decoder(dataset: Any, path: Path) -> None:
    """One line for all files, with what to install, where pydicom alone cannot unpack the pixels."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:  # a file without a preamble: as it was read
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise InputError(f"{path}: its pixels are packed as {syntax.name}; pip install python-gdcm")
