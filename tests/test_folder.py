"""The folder dataset, on made files: what it reads, and every line it says."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fracbench.contracts import Sample
from fracbench.errors import InputError
from fracbench_plugins.datasets.folder import Folder
from PIL import Image

HEADER = "image,label,mask,group,split"
RAMP = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 2:5] = mask[5, 5] = 1  # touches at a corner: one instance
    mask[12:15, 20:25] = 200
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.ones((30, 20), np.uint8)).save(tmp_path / "other.png")
    Image.fromarray((RAMP % 256).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(RAMP * 100).save(tmp_path / "deep.png")
    Image.fromarray(np.full((20, 30, 3), (255, 0, 0), np.uint8)).save(tmp_path / "b.jpg", quality=95)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


def manifest(root: Path, *rows: str, header: str = HEADER, newline: str = "\n") -> Folder:
    (root / "manifest.csv").write_bytes(newline.join([header, *rows, ""]).encode())
    return Folder(root)


def faults(dataset: Folder, split: str = "test") -> list[str]:
    with pytest.raises(InputError) as caught:
        dataset.samples(split)
    return list(caught.value.faults)


def test_rows_become_samples(root: Path) -> None:
    dataset = manifest(
        root,
        "a.png,1,mask.png,p1,test,yes,left",
        "b.jpg,0,,,test,,",
        "./deep.png,1,,p2,train,no,right",
        header=HEADER + ",annotated,side",
    )
    assert list(dataset.splits) == ["test", "train"]
    assert dataset.samples("test") == [
        Sample("a.png", 1, "p1", True, {"side": "left"}),
        Sample("b.jpg", 0, "b.jpg", True, {"side": ""}),
    ]
    assert dataset.samples("train") == [Sample("deep.png", 1, "p2", False, {"side": "right"})]


def test_pixels_and_instances(root: Path) -> None:
    dataset = manifest(root, "a.png,1,mask.png,,test", "b.jpg,0,empty.png,,test", "deep.png,1,mask.png,,test")
    a, b, deep = (dataset.read(sample) for sample in dataset.samples("test"))
    np.testing.assert_allclose(a.image, (RAMP % 256) / 255, atol=1e-6)
    np.testing.assert_allclose(b.image, 76 / 255, atol=0.02)
    np.testing.assert_allclose(deep.image, RAMP * 100 / 65535, atol=1e-6)
    assert a.image.dtype == deep.image.dtype == np.float32
    assert a.instances.sum((1, 2)).tolist() == [10, 15] and a.instances.dtype == bool
    assert b.instances.shape == (0, 20, 30)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_turns_the_image_and_not_the_mask(root: Path, suffix: str) -> None:
    picture = np.zeros((30, 20), np.uint8)
    picture[:8, :8] = 255  # upright: the top right corner
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(root / f"turned.{suffix}", exif=exif)
    dataset = manifest(root, f"turned.{suffix},1,mask.png,,test")
    turned = dataset.read(dataset.samples("test")[0])
    assert turned.image.shape == (20, 30) == turned.instances.shape[1:]
    assert turned.image[:8, -8:].mean() > 0.9 > 0.1 > turned.image[:, :20].mean()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_masks_of_every_kind(root: Path, mode: str) -> None:
    fracture = np.zeros((20, 30), bool)
    fracture[3:6, 4:9] = True
    if mode == "I;16":
        Image.fromarray(fracture.astype(np.uint16)).save(root / "m.png")
    else:
        Image.fromarray(fracture.astype(np.uint8) * 255).convert("RGB").convert(mode).save(root / "m.png")
    dataset = manifest(root, "a.png,1,m.png,,test")
    np.testing.assert_array_equal(dataset.read(dataset.samples("test")[0]).instances, fracture[None])


def test_byte_order_mark_line_ends_and_blank_rows(root: Path) -> None:
    dataset = manifest(root, "a.png, 1 ,mask.png,,test", ",,,,", "", header="\ufeff" + HEADER, newline="\r\n")
    assert [sample.id for sample in dataset.samples("test")] == ["a.png"]


def test_fingerprint_follows_bytes_and_rows_of_the_split_alone(root: Path) -> None:
    rows = ["a.png,1,mask.png,p,test", "b.jpg,0,,q,test", "deep.png,0,,r,train"]
    first = manifest(root, *rows).fingerprint("test")
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert manifest(root, *rows[::-1], newline="\r\n").fingerprint("test") == first
    (root / "deep.png").write_bytes((root / "a.png").read_bytes())
    assert manifest(root, *rows).fingerprint("test") == first
    assert manifest(root, rows[0].replace(",p,", ",s,"), *rows[1:]).fingerprint("test") != first
    Image.fromarray(np.ones((20, 30), np.uint8)).save(root / "mask.png")
    assert manifest(root, *rows).fingerprint("test") != first


@pytest.mark.parametrize(
    ("row", "file", "text"),
    [
        ("gone.png,0,,,test", "gone.png", "there is no such file; write the path of a PNG, JPEG or DICOM image"),
        ("a" * 300 + ".png,0,,,test", "a" * 300 + ".png", "File name too long"),
        ("a.png,1,gone.png,,test", "gone.png", "there is no such file; write the path of a PNG mask"),
        ("text.png,0,,,test", "text.png", "is not a readable PNG or JPEG image; write the path"),
        ("broken.png,0,,,test", "broken.png", "write the path of a PNG, JPEG or DICOM image"),
        ("cut.png,1,mask.png,,test", "cut.png", "cannot be read ("),
        ("a.png,1,b.jpg,,test", "b.jpg", "is not a readable PNG image; write the path of a PNG mask"),
        ("a.png,1,other.png,,test", "other.png", "mask has 20 x 30 pixels and the image 30 x 20 pixels; save"),
        ("a.png,2,,,test", "a.png", "label is '2'; write 0 (no fracture) or 1 (fracture)"),
        ("a.png,,,,test", "a.png", "label is ''; write 0 (no fracture) or 1 (fracture)"),
        (
            "a.png,1,,,test",
            "a.png",
            "label is 1 and there is no mask; name a mask file, or write annotated=no",
        ),
        ("a.png,1,empty.png,,test", "empty.png", "label is 1 and the mask is empty; paint"),
        (
            "a.png,0,mask.png,,test",
            "mask.png",
            "label is 0 and the mask is not empty; write label 1 or clear",
        ),
        ("a.png,0,,,", "a.png", "split is empty; write a name such as train, val or test"),
        ("a.png,0,,,../x", "a.png", "split is '../x'; write a name such as train, val or test"),
        ("../a.png,0,,,test", "../a.png", "lies outside the folder; write a path relative to"),
        ("x/../../a.png,0,,,test", "x/../../a.png", "lies outside the folder; write a path relative to"),
        ("/etc/a.png,0,,,test", "/etc/a.png", "lies outside the folder; write a path relative to"),
        ("a.png,1,../m.png,,test", "../m.png", "lies outside the folder; write a path relative to"),
        ("b.jpg,0,,,train", "b.jpg", "is listed in row 2 already; keep one of the two rows"),
        ("./b.jpg,0,,,train", "b.jpg", "is listed in row 2 already; keep one of the two rows"),
        ("a.png,0,test", "a.png", "has 3 cells where the header has 5; write one for each column"),
    ],
)
def test_each_fault_is_one_line(root: Path, row: str, file: str, text: str) -> None:
    (line,) = faults(manifest(root, "b.jpg,0,,,test", row))
    assert line.startswith(f"manifest.csv:3: {file}: ")
    assert text in line and "; " in line


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("a.png,1,mask.png,,test,maybe", "manifest.csv:2: a.png: annotated is 'maybe'; write yes or no"),
        ("a.png,1,mask.png,,test,no", "manifest.csv:2: a.png: annotated is no and there is a mask; write"),
        (",0,,,test,", "manifest.csv:2: the image cell is empty; write the path of an image file"),
    ],
)
def test_faults_of_the_annotated_column(root: Path, row: str, text: str) -> None:
    (line,) = faults(manifest(root, row, header=HEADER + ",annotated"))
    assert line.startswith(text)


def test_all_faults_come_at_once_in_order(root: Path) -> None:
    dataset = manifest(root, "gone.png,0,,,test", "a.png,7,,,train", "b.jpg,0,mask.png,,test", "gone2.png,0,,,train")
    assert [line.split(": ")[0] for line in faults(dataset)] == [f"manifest.csv:{n}" for n in (2, 3, 4)]
    with pytest.raises(InputError, match=r"gone\.png"):
        dataset.fingerprint("test")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            b"image,labels,mask,group,split\n",
            "manifest.csv:1: column 'label' is missing; add it to the header.",
        ),
        (b"image,labels,mask,group,split\n", "Did you mean 'labels'?"),
        (b"image;label;mask;group;split\n", "manifest.csv:1: columns are not separated by commas"),
        (b"image,label,mask,group,split,label\n", "manifest.csv:1: column 'label' is there twice"),
        (b"image,label,mask,group,split\n", "manifest.csv: has a header and no rows; write a row"),
        (b"", "manifest.csv: is empty; write the header image,label,mask,group,split"),
        ("image,label,mask,group,split\nü".encode("latin-1"), "manifest.csv: is not UTF-8 text; save it"),
        (b'image,label,mask,group,split\n"a', "manifest.csv:2: is not CSV"),
    ],
)
def test_faults_of_the_whole_file(root: Path, content: bytes, text: str) -> None:
    (root / "manifest.csv").write_bytes(content)
    (line,) = faults(Folder(root))
    assert text in line


def test_faults_of_the_place(root: Path) -> None:
    assert faults(Folder(None)) == ["the folder dataset needs --data DIR"]
    assert "is not a folder; give the folder that holds manifest.csv" in faults(Folder(root / "gone"))[0]
    (line,) = faults(Folder(root, manifest="rows.csv"))
    assert line.endswith("rows.csv: there is no such file; write one with the columns " + HEADER)


def test_unknown_split_lists_those_there_are(root: Path) -> None:
    dataset = manifest(root, "a.png,0,,,test", "b.jpg,0,,,train")
    expected = "manifest.csv: has no split 'tset'. Did you mean 'test'? It has: test, train"
    assert faults(dataset, "tset") == [expected]


def test_what_breaks_while_reading_names_row_and_file(root: Path) -> None:
    dataset = manifest(root, "a.png,0,,,test", "cut.png,0,,,test")
    samples = dataset.samples("test")  # the header is whole
    with pytest.raises(InputError, match=r"manifest.csv:3: cut.png: cannot be read"):
        dataset.read(samples[1])
    with pytest.raises(InputError, match=r"has no image 'x\.png'"):
        dataset.read(Sample("x.png", 0, "x"))


def test_a_picture_too_large_to_unpack_is_refused(root: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (root / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    (line,) = faults(manifest(root, "bomb.png,0,,,test"))
    assert line.startswith("manifest.csv:2: bomb.png: cannot be read")
