"""Files of weights that are cut off, mislabelled, hostile or of another model: one line, and no memory taken."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fracbench.errors import InputError
from fracbench.weights import load_weights
from safetensors.torch import save, save_file
from torch import Tensor, nn

State = dict[str, Tensor]


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def state() -> State:
    return {name: value + 1 for name, value in model().state_dict().items()}


def torch_bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def loads(path: Path, expected: State | None = None) -> None:
    into = model()
    load_weights(into, path)
    for name, value in (expected or state()).items():
        assert torch.equal(into.state_dict()[name], value.to(into.state_dict()[name].dtype)), name


def refused(path: Path, says: str, into: nn.Module | None = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=says) as caught:
            load_weights(into or model(), path)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: ") and len(fault) < 600


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".PT", ""])
@pytest.mark.parametrize(
    "content",
    [
        lambda: model().state_dict(),
        state,
        lambda: dict(model().named_parameters()) | dict(model().named_buffers()),
        lambda: {name: value.double() if value.is_floating_point() else value for name, value in state().items()},
        lambda: {name: value.half() if value.is_floating_point() else value for name, value in state().items()},
        lambda: nn.Sequential(*model()).to(memory_format=torch.channels_last).state_dict(),
    ],
    ids=["ordered", "plain", "parameters", "float64", "float16", "channels-last"],
)  # fmt: skip
def test_what_torch_saves_loads(tmp_path: Path, suffix: str, content: Callable[[], State]) -> None:
    path = tmp_path / f"w{suffix}"
    torch.save(content(), path)
    loads(path, {name: value.detach() for name, value in content().items()})


def test_safetensors_load_also_where_the_name_says_nothing(tmp_path: Path) -> None:
    for name in ("w.safetensors", "0123abcd"):
        save_file(state(), tmp_path / name)
        loads(tmp_path / name)


def test_tied_weights_load(tmp_path: Path) -> None:
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[1].weight = tied[0].weight
    torch.save(tied.state_dict(), tmp_path / "w.pt")
    load_weights(tied, tmp_path / "w.pt")


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_that_is_cut_off_is_told(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    content = torch_bytes(state()) if name == "w.pt" else save(state())
    path.write_bytes(content[: round(len(content) * keep)])
    refused(path, "is cut off or damaged|is called .safetensors but|its start is damaged")


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("w.pt", lambda: b"", "is empty; copy it again"),
        ("w.pt", lambda: save(state()), "is called .pt but holds safetensors; rename it to w.safetensors"),
        ("w.safetensors", lambda: torch_bytes(state()), "is called .safetensors but holds PyTorch; rename it to w.pt"),
        ("w.safetensors", lambda: b"\n<!DOCTYPE html><html>", "is a web page or XML; download the file itself"),
        ("w.pt", lambda: b"<html></html>", "is a web page"),
        ("w.pt", lambda: b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS; .*git lfs pull"),
        ("w.pt", lambda: pickle.dumps(state()), "is a bare pickle; save the state dict again"),
        ("w.pt", lambda: gzip.compress(torch_bytes(state())), "is compressed; unpack it with gunzip"),
        ("w.safetensors", lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "is an HDF5 file"),
        ("w.pt", lambda: b"hello", "is neither a safetensors nor a PyTorch file"),
        ("w.pt", lambda: b"PK\x03\x04" + b"\0" * 1000, "is cut off or damaged"),
        ("w.safetensors", lambda: b"\xff\xff\0\0\0\0\0\0{}", "is cut off or damaged"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_told(tmp_path: Path, name: str, content: Callable[[], bytes], says: str) -> None:
    (tmp_path / name).write_bytes(content())
    refused(tmp_path / name, says)


def test_the_old_format_is_told_how_to_become_the_new(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    refused(path, r"old format; save it again: torch.save\(torch.load\(FILE, weights_only=True\), FILE\)")
    torch.save(torch.load(path, weights_only=True), path)
    loads(path)


def test_a_torchscript_archive_is_told(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(model()), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", r"is a TorchScript archive; save the model's state_dict\(\) instead")


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def nested(depth: int) -> Any:
    """Tuples whose hash and print take 2 ** depth steps."""
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


class Dict:
    """Pickles as an ordered dict with these items, unhashed, and attributes."""

    def __init__(self, items: list[tuple[Any, Any]], attributes: dict[str, Any] | None = None) -> None:
        self.call = OrderedDict, (), attributes, None, iter(items)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "content, says",
    [
        (lambda: {"a": Calls(exec, "raise SystemExit")}, "asks for .*exec, which no plain tensor needs"),
        (lambda: {"a": Calls(bytearray, 10**12)}, "bytearray, which no plain tensor needs"),
        (lambda: {"a": Calls(torch.Tensor, 10**6, 10**6)}, "torch._tensor.Tensor, which no|torch.Tensor, which no"),
        (lambda: {"a": {1, 2}}, "which no plain tensor needs|has the operation"),
        (lambda: Dict([(nested(60), 1)]), "it has a key that is neither text nor a whole number"),
        (lambda: {"a": nested(60)}, "a is no plain tensor"),
        (lambda: Dict([], {"items": 3}), "it sets attributes"),
        (lambda: {"a": torch.zeros(3).expand(4, 3)}, "whose values overlap; save .contiguous"),
        (lambda: {"a": torch.zeros(9).as_strided((4, 4), (1, 1))}, "whose values overlap"),
        (lambda: {"a": torch.ones(2, dtype=torch.cfloat).conj()}, "cannot be opened as tensors alone"),
        (lambda: ["a", 1.5, None], "holds a list"),
    ],
)  # fmt: skip
def test_a_pickle_that_is_more_than_tensors_is_not_run(tmp_path: Path, content: Callable[[], Any], says: str) -> None:
    (tmp_path / "w.pt").write_bytes(torch_bytes(content()))
    refused(tmp_path / "w.pt", says)


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
