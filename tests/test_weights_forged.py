"""Forged archives and headers, bombs: refused before memory is taken."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fracbench.weights import load_weights
from safetensors.torch import save, save_file
from test_weights import Calls, Dict, State, model, nested, refused, state, torch_bytes
from torch import nn


def rezipped(content: bytes, change: Callable[[str, bytes], bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    """The same zip with its parts changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", compress) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return made.getvalue()


def repickled(content: Any, *changes: tuple[bytes, bytes]) -> bytes:
    """The file of ``content`` with bytes of its pickle replaced."""

    def change(name: str, part: bytes) -> bytes:
        for old, new in changes if name.endswith("data.pkl") else ():
            assert old in part
            part = part.replace(old, new)
        return part

    return rezipped(torch_bytes(content), change)


ONE = {"a": torch.zeros(7)}


@pytest.mark.parametrize(
    "content, says",
    [
        (lambda: repickled(ONE, (b"K\x07", b"J\0\0\0\x70")), "declares 1879048192 values of torch.float32"),
        (lambda: repickled(ONE, (b"K\x07\x85", b"J\0\0\0\x70\x85")), "a tensor larger than its values"),
        (lambda: repickled(ONE, (b"K\x07\x85", b"J\0\0\0\xf0\x85")), "a tensor without a shape"),
        (lambda: repickled(ONE, (b"FloatStorage", b"DoubleStorage")), "declares 7 values of torch.float64 where"),
        (lambda: repickled(ONE, (b"X\x01\0\0\x000", b"X\x01\0\0\x001")), "it is damaged"),
        (lambda: repickled(ONE, (b"s.", b"s")), "it is damaged"),
        (lambda: repickled(ONE, (b"\x80\x02", b"\x80\x03")), "it has the operation PROTO 3"),
        (lambda: rezipped(torch_bytes(ONE), lambda _, part: part, zipfile.ZIP_DEFLATED), "is a compressed zip"),
        (lambda: rezipped(torch_bytes(ONE), lambda _, part: part).replace(b"data.pkl", b"data.plk"), "no state dict"),
        (lambda: b"PK\x03\x04" + torch_bytes(ONE), "its directory is not where it belongs|its end is damaged"),
        (lambda: torch_bytes(ONE) + b"\0", "its end is missing"),
    ],
)  # fmt: skip
def test_a_forged_file_takes_no_more_than_its_bytes(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    (tmp_path / "w.pt").write_bytes(content())
    refused(tmp_path / "w.pt", says)


def with_header(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content, says",
    [
        (lambda: with_header({"a": tensor("F32", [10**6, 10**6], 0, 4 * 10**12)}), "is cut off or damaged"),
        (lambda: with_header({"a": tensor("F32", [2**62, 2**62], 0, 0)}), "is cut off or damaged"),
        (lambda: with_header({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 0, 4)}, b"\0" * 4), "is cut off"),
        (lambda: with_header({"a": tensor("F8_E4M3", [4], 0, 4)}, b"\0" * 4), "a has values of type F8_E4M3; save"),
        (lambda: with_header({"a": tensor("F32", [1], 0, 4)}, b"\0" * 8), "is cut off or damaged"),
        (lambda: with_header({"__metadata__": {"a": "x" * 2**21}}, b"\0" * 8), "has 2097195 bytes where this"),
    ],
)  # fmt: skip
def test_a_forged_header_of_safetensors_is_refused(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content())
    refused(tmp_path / "w.safetensors", says)


def test_a_huge_header_or_pickle_is_not_read_even_for_a_large_model(tmp_path: Path) -> None:
    large = nn.Linear(1000, 1000)
    (tmp_path / "w.safetensors").write_bytes(with_header({"__metadata__": {"a": "x" * 2**21}}, b"\0" * 8))
    refused(tmp_path / "w.safetensors", "its header has 2097179 bytes, more than 2097152", large)
    torch.save(list(range(10**6)), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "is a zip, but no state dict that torch.save wrote", large)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize(
    "change, says",
    [
        ({"3.bias": torch.zeros(3)}, r"do not fit the model: 3.bias is \(3,\) where the model has \(2,\)"),
        ({"3.bias": torch.zeros(2, dtype=torch.int32)}, "3.bias is torch.int32 where the model has torch.float32"),
        ({"3.bias": torch.tensor([0, torch.nan])}, "3.bias has values that are NaN or infinite in the model"),
        ({"3.bias": torch.tensor([0, 1e300], dtype=torch.float64)}, "3.bias has values that are NaN or infinite"),
        ({f"{i}.bias": torch.full((n,), torch.inf) for i, n in ((0, 4), (1, 4), (3, 2))}, "0.bias, 1.bias, 3.bias ha"),
        ({"4.bias": torch.zeros(2)}, r"1 unknown \(4.bias\)"),
        ({"3.bias": torch.zeros(10**6)}, "has 40[0-9]{5} bytes where this model needs 1049[0-9]{3} at most; save its"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_serve_are_named(tmp_path: Path, name: str, change: State, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(torch_bytes(state() | change) if name == "w.pt" else save(state() | change))
    into = model()
    refused(path, says, into)
    assert all(torch.equal(value, into.state_dict()[key]) for key, value in model().state_dict().items()), "untouched"


def test_a_mask_of_minus_infinity_that_the_model_was_made_with_loads(tmp_path: Path) -> None:
    masked = nn.Module()
    masked.register_buffer("mask", torch.tensor([0, -torch.inf]))
    save_file(masked.state_dict(), tmp_path / "w.safetensors")
    load_weights(masked, tmp_path / "w.safetensors")


def zip_bomb() -> bytes:
    """A small file whose first part unpacks to 768 MiB."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("w/version", "w", force_zip64=True) as part,
    ):
        for _ in range(12):
            part.write(b"\0" * 2**26)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}, 2))
    return made.getvalue()


LIMITED = """
import resource, sys
from pathlib import Path
from torch import nn
from fracbench.errors import InputError
from fracbench.weights import load_weights

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
for path in map(Path, sys.argv[1:]):
    try:
        load_weights(nn.Linear(2, 2), path)
    except InputError as error:
        print(error)
"""


def test_bombs_are_refused_within_half_a_gibibyte(tmp_path: Path) -> None:
    bombs = {
        "bytes.pt": (torch_bytes({"a": Calls(bytearray, 2**32)}), "bytearray, which no plain tensor needs"),
        "deep.pt": (torch_bytes(Dict([("b", Dict([("c", nested(60))]))])), "nested below b"),
        "empty.pt": (torch_bytes({"a": Calls(torch.FloatTensor, 2**30)}), "FloatTensor, which no plain tensor needs"),
        "header.safetensors": ((10**9).to_bytes(8, "little") + b"{" + b" " * 10**6, "is cut off"),
        "keys.pt": (torch_bytes(Dict([(nested(60), 1)])), "it has a key"),
        "storage.pt": (repickled(ONE, (b"K\x07\x85", b"J\0\0\0\x70\x85")), "larger than its values"),
        "zip.pt": (zip_bomb(), "is a compressed zip"),
    }
    for name, (content, _) in bombs.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "sparse.pt").open("wb") as file:
        file.truncate(2**35)
    says = {name: of for name, (_, of) in bombs.items()} | {"sparse.pt": "has 34359738368 bytes where"}
    paths = [tmp_path / name for name in says]
    done = subprocess.run([sys.executable, "-c", LIMITED, *paths], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{path}: ") and says[path.name] in line
