"""Files of adversarial images that are no such files: one line, nothing unpacked, no memory taken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fracbench import specs
from fracbench.errors import InputError
from fracbench.resolving import resolve
from fracbench.third_party import _Member, read
from test_third_party import SPEC, submit


def strange(file: Path, how: str) -> None:
    """Files that are no archives of two arrays, each in a way of its own."""
    if how == "an array alone":
        with file.open("wb") as out:
            np.save(out, np.zeros(3))
    elif how == "no archive":
        file.write_bytes(b"PK" + bytes(100))
    elif how == "broken inside":
        np.savez_compressed(file, ids=np.array(["a"] * 16), images=np.random.default_rng(0).random((16, 128, 128)))
        content = bytearray(file.read_bytes())
        content[5000:5040] = bytes(40)
        file.write_bytes(bytes(content))
    elif how == "no header":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("ids.npy", b"")
            archive.writestr("images.npy", b"")
    elif how == "a bomb":
        np.savez_compressed(file, ids=np.array(["a"]), images=np.zeros((1, 9000, 9000), np.float32))
    elif how == "too many":
        np.savez_compressed(file, ids=np.array(["a"] * 99), images=np.zeros((99, 128, 128), np.float32))
    elif how == "long names":
        np.savez_compressed(file, ids=np.array(["a" * 2000] * 16), images=np.zeros((16, 128, 128), np.float32))
    elif how != "missing":
        members = {name: packed(array) for name, array in
                   (("ids.npy", np.array(["a"])), ("images.npy", np.zeros((1, 128, 128), np.float32)))}  # fmt: skip
        packing = zipfile.ZIP_LZMA if how == "packed otherwise" else zipfile.ZIP_DEFLATED
        if how == "beside it":
            members["images"] = bytes(10**6)
        if how == "longer":
            members["images.npy"] += bytes(10**6)
        if how == "no texts":
            members["ids.npy"] = packed(np.array(["a"])).replace(b"a\0\0\0", b"\xff" * 4)
        with zipfile.ZipFile(file, "w", packing) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
            if how == "twice there":
                with pytest.warns(UserWarning, match="Duplicate"):
                    archive.writestr("images.npy", bytes(10**6))
        if how == "large":
            with file.open("ab") as opened:
                opened.truncate(10**7)


def packed(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    "how, says",
    [
        ("missing", "no such file"),
        ("an array alone", "cannot be read as .npz"),
        ("no archive", "cannot be read as .npz"),
        ("broken inside", "cannot be read as .npz"),
        ("no header", "cannot be read as .npz"),
        ("a bomb", "images are 9000 x 9000 pixels; smoke has 128 x 128"),
        ("too many", "give one text for each of at most 16"),
        ("long names", "give one text for each image"),
        ("beside it", "holds more than ids and images, each once; leave the rest out"),
        ("twice there", "holds more than ids and images, each once; leave the rest out"),
        ("longer", "an array has another length than its header says; save it with numpy.savez"),
        ("packed otherwise", "cannot be read as .npz (packed as numpy never does)"),
        ("no texts", "cannot be read as .npz"),
        ("large", "is larger than 16 images can be; give one for each of at most 16"),
    ],
)
def test_strange_files_are_one_line_and_never_unpacked(
    how: str, says: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange(tmp_path / "sent.npz", how)
    real, unpacked = _Member.content, []
    monkeypatch.setattr(_Member, "content", lambda member: unpacked.append(1) or real(member))
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    done = submit(results, tmp_path / "sent.npz")
    assert done.exit_code == 2 and says in done.output and len(done.output.strip().splitlines()) == 1, done.output
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
    assert bool(unpacked) == (how in ("broken inside", "no texts")), "nothing is unpacked before it is looked at"


def test_an_archive_that_lies_about_a_length_takes_no_memory(tmp_path: Path) -> None:
    images, more = packed(np.zeros((1, 128, 128), np.float32)), 2**28
    with zipfile.ZipFile(tmp_path / "sent.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ids.npy", packed(np.array(["a"])))
        archive.writestr("images.npy", images + bytes(more))
    lengths = [struct.pack("<I", length) for length in (len(images) + more, len(images))]
    content = (tmp_path / "sent.npz").read_bytes()
    assert content.count(lengths[0]) == 2
    (tmp_path / "sent.npz").write_bytes(content.replace(*lengths))
    job = resolve(specs.load(SPEC))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"cannot be read as .npz .*Bad CRC"):
            read(tmp_path / "sent.npz", "x", job)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
