"""DICOM radiographs in a folder: what a viewer would show first, and one line for what is no radiograph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fracbench.data import load
from fracbench.errors import InputError
from fracbench_plugins.datasets import _dicom
from fracbench_plugins.datasets.folder import Folder
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.pixels.processing import apply_voi_lut
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

TWELVE = np.linspace(0, 4095, 20 * 30).round().astype(np.uint16).reshape(20, 30)


def written(path: Path, pixels: NDArray[Any] = TWELVE, bits: int = 12, **tags: Any) -> Path:
    """A file with these pixels; ``tags`` go over the usual ones of a digital radiograph."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = pixels.dtype.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    if tags.get("compressed"):
        del dataset.compressed
        dataset.compress(RLELossless)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_without_a_window_the_darkest_pixel_is_black_and_the_brightest_white(tmp_path: Path) -> None:
    for bits, top in ((12, 4095), (16, 65535), (8, 255)):
        pixels = np.linspace(0, top, 600).round().astype(np.uint8 if bits == 8 else np.uint16).reshape(20, 30)
        shown = _dicom.read_gray(written(tmp_path / "a.dcm", pixels, bits))
        np.testing.assert_allclose(shown, pixels / top, atol=1e-6)
        assert shown.dtype == np.float32
    flat = _dicom.read_gray(written(tmp_path / "flat.dcm", np.full((4, 4), 700, np.uint16)))
    assert (flat == 0).all()


def test_a_window_cuts_off_what_is_darker_and_brighter(tmp_path: Path) -> None:
    shown = _dicom.read_gray(written(tmp_path / "a.dcm", WindowCenter=2048, WindowWidth=1001))
    # DICOM PS3.3 C.11.2.1.2.1: ((x - (c - .5)) / (w - 1) + .5), within its bounds
    expected = np.clip((TWELVE.astype(float) - 2047.5) / 1000 + 0.5, 0, 1)
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert shown.min() == 0 and shown.max() == 1 and 0.1 < (shown == 0).mean() < 0.5


def test_the_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    several = _dicom.read_gray(written(tmp_path / "a.dcm", WindowCenter=[2048, 100], WindowWidth=[1001, 50]))
    one = _dicom.read_gray(written(tmp_path / "b.dcm", WindowCenter=2048, WindowWidth=1001))
    np.testing.assert_array_equal(several, one)


def test_a_sigmoid_window_bends_and_reaches_from_black_to_white(tmp_path: Path) -> None:
    tags = {"WindowCenter": 2048, "WindowWidth": 600, "VOILUTFunction": "SIGMOID"}
    shown = _dicom.read_gray(written(tmp_path / "a.dcm", **tags))
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(-4 * (TWELVE.astype(float) - 2048) / 600)), atol=1e-5)


def test_rescaled_values_are_windowed_in_their_own_units(tmp_path: Path) -> None:
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000, "WindowWidth": 2001}
    shown = _dicom.read_gray(written(tmp_path / "a.dcm", **tags))
    np.testing.assert_allclose(shown, np.clip((TWELVE * 2.0 - 1000 - 2999.5) / 2000 + 0.5, 0, 1), atol=1e-6)


def test_signed_pixels_keep_their_order(tmp_path: Path) -> None:
    pixels = TWELVE.astype(np.int16) - 2048
    shown = _dicom.read_gray(written(tmp_path / "a.dcm", pixels))
    np.testing.assert_allclose(shown, TWELVE / 4095, atol=1e-6)


def test_a_lookup_table_goes_before_a_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    table.LUTData = (np.sqrt(np.arange(4096) / 4095) * 1023).round().astype(np.uint16).tobytes()
    path = written(tmp_path / "a.dcm", VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    shown = _dicom.read_gray(path)
    np.testing.assert_allclose(shown, np.sqrt(TWELVE / 4095), atol=2e-3)
    with _dicom._opened(path) as dataset:
        np.testing.assert_allclose(shown, apply_voi_lut(dataset.pixel_array, dataset) / 1023, atol=1e-6)


@pytest.mark.parametrize(("first", "bits"), [(0, 8), (1000, 8), (1000, 16)])
def test_a_lookup_table_of_any_width_ends_where_its_entries_end(tmp_path: Path, first: int, bits: int) -> None:
    table = Dataset()
    table.LUTDescriptor = [256, first, bits]
    entries = np.linspace(0, 2**bits - 1, 256).round()
    table.LUTData = entries.astype(np.uint8 if bits == 8 else np.uint16).tobytes()
    for scale in (1, 20):
        tags = {"VOILUTSequence": [table], "RescaleSlope": scale, "RescaleIntercept": 0}
        shown = _dicom.read_gray(written(tmp_path / "a.dcm", **tags))
        expected = entries[np.clip(TWELVE.astype(int) * scale - first, 0, 255)] / (2**bits - 1)
        np.testing.assert_allclose(shown, expected, atol=1e-6)


def test_a_lookup_table_without_data_gives_way_to_the_window(tmp_path: Path) -> None:
    empty = Dataset()
    empty.LUTDescriptor = [256, 0, 8]
    window = {"WindowCenter": 2048, "WindowWidth": 1001}
    shown = _dicom.read_gray(written(tmp_path / "a.dcm", VOILUTSequence=[empty], **window))
    np.testing.assert_array_equal(shown, _dicom.read_gray(written(tmp_path / "b.dcm", **window)))


@pytest.mark.parametrize("kind", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_falling_rescale_is_windowed_as_pydicom_does(tmp_path: Path, kind: str) -> None:
    tags = {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2048, "WindowWidth": 3000}
    path = written(tmp_path / "a.dcm", VOILUTFunction=kind, **tags)
    shown = _dicom.read_gray(path).astype(float)
    with _dicom._opened(path) as dataset:
        theirs = apply_voi_lut(4095.0 - dataset.pixel_array, dataset)
    span = (theirs - theirs.min()) / np.ptp(theirs)
    ours = (shown - shown.min()) / np.ptp(shown)
    # pydicom takes ends of the falling scale in the wrong order, so that its values rise where these fall
    assert min(np.abs(ours - span).max(), np.abs(ours - (1 - span)).max()) < 1e-3
    assert shown.std() > 0.2 and shown[0, 0] > shown[-1, -1], "what is stored low is bright"


def test_what_real_files_get_wrong_does_no_harm(tmp_path: Path) -> None:
    plain = _dicom.read_gray(written(tmp_path / "a.dcm"))
    for tags in ({"WindowCenter": 5, "WindowWidth": 0}, {"PixelPaddingValue": None}, {"WindowCenter": None}):
        np.testing.assert_array_equal(_dicom.read_gray(written(tmp_path / "b.dcm", **tags)), plain)
    window = {"WindowCenter": 2048, "WindowWidth": 1001}
    odd = _dicom.read_gray(written(tmp_path / "b.dcm", VOILUTFunction="", **window))
    np.testing.assert_array_equal(odd, _dicom.read_gray(written(tmp_path / "c.dcm", **window)))
    bare = tmp_path / "d.dcm"
    dataset = dcmread(written(tmp_path / "e.dcm"))
    with bare.open("wb") as file:
        write_dataset(DicomFileLike(file), dataset)
    assert bare.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(_dicom.read_gray(bare), plain)


def test_padding_written_without_its_sign_is_padding(tmp_path: Path) -> None:
    pixels = TWELVE.astype(np.int16) - 2048
    pixels[:, :5] = -2048
    path = written(tmp_path / "a.dcm", pixels, 16)
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 63488)
    dataset.save_as(path)
    shown = _dicom.read_gray(path)
    assert (shown[:, :5] == 0).all() and shown[:, 5:].min() == 0


def test_pixels_that_nothing_here_unpacks_are_one_line_for_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = written(tmp_path / f"{name}.dcm")
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = encapsulate([b"nothing"])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    (tmp_path / "manifest.csv").write_text("image,label,mask,group,split\na.dcm,0,,,test\nb.dcm,0,,,test\n")
    with pytest.raises(
        InputError, match=r"a\.dcm: its pixels are packed as JPEG-LS.*; pip install python-gdcm"
    ) as caught:
        Folder(tmp_path).samples("test")
    assert len(caught.value.faults) == 1


def test_monochrome1_is_inverted_so_that_bone_is_bright(tmp_path: Path) -> None:
    plain = {"WindowCenter": 2048, "WindowWidth": 1001}
    normal = _dicom.read_gray(written(tmp_path / "a.dcm", **plain))
    inverted = _dicom.read_gray(written(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **plain))
    np.testing.assert_allclose(inverted, 1 - normal, atol=1e-6)


def test_padding_is_black_and_does_not_stretch_the_range(tmp_path: Path) -> None:
    pixels = np.linspace(1000, 2000, 600).round().astype(np.uint16).reshape(20, 30)
    pixels[:, :5] = 4095
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        tags = {"PhotometricInterpretation": kind, "PixelPaddingValue": 4095}
        shown = _dicom.read_gray(written(tmp_path / "a.dcm", pixels, **tags))
        assert (shown[:, :5] == 0).all() and shown[:, 5:].min() == 0 and shown[:, 5:].max() == 1


def test_compressed_pixels_are_read(tmp_path: Path) -> None:
    plain, packed = written(tmp_path / "a.dcm"), written(tmp_path / "b.dcm", compressed=True)
    np.testing.assert_array_equal(_dicom.read_gray(plain), _dicom.read_gray(packed))


def test_a_folder_of_dicom_and_png_reads_alike_whatever_the_names(tmp_path: Path) -> None:
    written(tmp_path / "IM0001", PhotometricInterpretation="MONOCHROME1")
    Image.fromarray((65535 - TWELVE.astype(np.int64) * 65535 // 4095).astype(np.uint16)).save(tmp_path / "same.png")
    mask = np.zeros((20, 30), np.uint8)
    mask[3:6, 4:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rows = ["image,label,mask,group,split", "IM0001,1,mask.png,p1,test", "same.png,1,mask.png,p2,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    dataset = Folder(tmp_path)
    batch = load(dataset, dataset.samples("test"), 32)
    assert (batch.images[0] - batch.images[1]).abs().max() < 1e-4 and batch.images.max() > 0.95
    assert batch.masks[0].equal(batch.masks[1]) and batch.masks.any()


COLOUR = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
FAULTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "colour": (COLOUR, "has pixels of kind RGB where a radiograph has MONOCHROME1 or MONOCHROME2"),
    "film": ({"NumberOfFrames": 7}, "has 7 frames where a radiograph has one"),
    "short": ({"PixelData": b"ab"}, "pixel data"),
    "window": ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "a window of the unknown kind CUBIC"),
    "empty": ({"Rows": 0}, "says that it has 30 x 0 pixels"),
    "sizeless": ({"Columns": None}, "says that it has 0 x 20 pixels"),
    "huge": ({"Rows": 65535, "Columns": 65535}, "says that it has 65535 x 65535 pixels"),
    "floating": ({"FloatPixelData": b"abcd"}, "floating-point pixels"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_radiograph_is_one_line(tmp_path: Path, name: str) -> None:
    tags, said = FAULTS[name]
    written(tmp_path / "a.dcm", **tags)
    (tmp_path / "manifest.csv").write_text("image,label,mask,group,split\na.dcm,0,,,test\n")
    with pytest.raises(InputError, match=said) as caught:
        dataset = Folder(tmp_path)
        dataset.read(dataset.samples("test")[0])
    (line,) = caught.value.faults
    assert line.startswith("manifest.csv:2: a.dcm: ")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.dcm").read_bytes()
    (tmp_path / "manifest.csv").write_text("image,label,mask,group,split\na.dcm,0,,,test\n")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        bytes_ = bytearray(whole[: rng.integers(132, len(whole) + 1)])
        for place in rng.integers(132, len(bytes_) + 1, 4):
            bytes_[place:] = bytes_[place:-1] + bytes([rng.integers(256)]) if place < len(bytes_) else b""
        (tmp_path / "a.dcm").write_bytes(bytes_)
        dataset = Folder(tmp_path)
        try:
            shown = dataset.read(dataset.samples("test")[0]).image
            assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1
        except InputError as error:
            refused += 1
            assert len(error.faults) == 1
    assert refused > 50


def test_without_pydicom_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        written(tmp_path / f"{name}.dcm")
    (tmp_path / "manifest.csv").write_text("image,label,mask,group,split\na.dcm,0,,,test\nb.dcm,0,,,test\n")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"needs pydicom.*pip install 'fracbench\[dicom\]'") as caught:
        Folder(tmp_path).samples("test")
    assert len(caught.value.faults) == 1
