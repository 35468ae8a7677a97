"""Files of weights: what they are and declare, looked at before any of their values is read."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fracbench.errors import InputError
from fracbench.state_pickle import Declared, Refused, declared

MAX_DIRECTORY = 2 * 2**20  # bytes of names, shapes and places: some 7,000 tensors
PYTORCH, SAFETENSORS = "PyTorch", "safetensors"
FORMATS = {".safetensors": SAFETENSORS, ".pt": PYTORCH, ".pth": PYTORCH, ".bin": PYTORCH, ".ckpt": PYTORCH}
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64,
}  # fmt: skip
SAVE = "save the state dict again, best as safetensors"
OTHERS = {
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19": "is in PyTorch's old format; save it again: "
    "torch.save(torch.load(FILE, weights_only=True), FILE)",
    b"\x80": f"is a bare pickle; {SAVE}",
    b"\x89HDF": f"is an HDF5 file; {SAVE}",
    b"\x1f\x8b": "is compressed; unpack it with gunzip",
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file itself: git lfs pull",
    b"<": "is a web page or XML; download the file itself",
}


@dataclass(frozen=True)
class Looked:
    """What a file declares, and how to read its values: the object that was saved."""

    declared: Any
    read: Callable[[], Any]


def look(path: Path, limit: int) -> Looked:
    """Tell the format of a file of at most ``limit`` bytes, and check it against its own size and name.

    Raises ``InputError`` for what is no safetensors or PyTorch file, is cut off, or would take more memory than
    its bytes; nothing in it is executed.
    """
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: is empty; copy it again")
    if size > limit:
        raise InputError(
            f"{path}: has {size} bytes where this model needs {limit} at most; save its state dict alone, "
            "in float32, each tensor a .clone()"
        )
    with path.open("rb") as file:
        head = file.read(64)
        found = _format(path, head, size)
        named = FORMATS.get(path.suffix.lower(), found)
        if named != found:
            suffix = next(suffix for suffix, of in FORMATS.items() if of == found)
            raise InputError(f"{path}: is called {path.suffix} but holds {found}; rename it to {path.stem}{suffix}")
        try:
            return _safetensors(path, head, size) if found == SAFETENSORS else _pytorch(path, file, size)
        except Refused as error:
            raise InputError(f"{path}: cannot be opened as tensors alone ({error}); {SAVE}") from error
        except InputError:
            raise
        except Exception as error:  # of zipfile and safetensors, of many kinds
            raise InputError(f"{path}: is cut off or damaged ({error!s:.100}); copy or save it again") from error


def _format(path: Path, head: bytes, size: int) -> str:
    if head.startswith(b"PK\x03\x04"):
        return PYTORCH
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return SAFETENSORS
    for start, says in OTHERS.items():
        if head.lstrip().startswith(start):
            raise InputError(f"{path}: {says}")
    raise InputError(f"{path}: is neither a safetensors nor a PyTorch file, or its start is damaged; {SAVE}")


def _safetensors(path: Path, head: bytes, size: int) -> Looked:
    header = int.from_bytes(head[:8], "little")
    if header > MAX_DIRECTORY and header < size:
        raise InputError(f"{path}: its header has {header} bytes, more than {MAX_DIRECTORY}; {SAVE}")
    found = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118, no mapping
            view = file.get_slice(name)
            if view.get_dtype() not in DTYPES:
                raise InputError(f"{path}: {name:.80} has values of type {view.get_dtype()}; save them as float32")
            found[name] = Declared(tuple(view.get_shape()), DTYPES[view.get_dtype()])
    return Looked(found, lambda: load_file(path))


def _pytorch(path: Path, file: BinaryIO, size: int) -> Looked:
    _check_directory(path, file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        root = entries[0].filename.partition("/")[0] + "/"
        records = {entry.filename.removeprefix(root): entry.file_size for entry in entries}
        if "constants.pkl" in records:
            raise InputError(f"{path}: is a TorchScript archive; save the model's state_dict() instead")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InputError(f"{path}: is a compressed zip, which torch.save never writes; {SAVE}")
        if sum(entry.file_size for entry in entries) > size or len({e.filename.lower() for e in entries}) < len(
            entries
        ):
            raise InputError(f"{path}: is a zip whose parts overlap; {SAVE}")
        if records.get("data.pkl", MAX_DIRECTORY + 1) > MAX_DIRECTORY:
            raise InputError(f"{path}: is a zip, but no state dict that torch.save wrote; {SAVE}")
        found = declared(archive.read(root + "data.pkl"), records)
    # mapped, not read, so that a tensor is never larger than the file
    return Looked(found, lambda: torch.load(path, map_location="cpu", weights_only=True, mmap=True))


def _check_directory(path: Path, file: BinaryIO, size: int) -> None:
    """The zip's directory is small and where all readers look for it, so that torch sees what ``zipfile`` saw."""
    file.seek(max(0, size - 98))
    tail = file.read()
    if len(tail) < 22 or tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise zipfile.BadZipFile("its end is missing")
    length, start = struct.unpack("<2L", tail[-10:-2])
    end = size - 22
    if tail[-42:-38] == b"PK\x06\x07":  # the form for large files, of which torch.save always writes both
        end = size - 98
        if len(tail) < 98 or tail[:4] != b"PK\x06\x06" or struct.unpack("<Q", tail[-34:-26])[0] != end:
            raise zipfile.BadZipFile("its end is damaged")
        length, start = struct.unpack("<2Q", tail[40:56])
    if length > MAX_DIRECTORY or start + length != end:
        raise zipfile.BadZipFile("its directory is not where it belongs")
