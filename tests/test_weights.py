"""Files of weights that are cut off, mislabelled, hostile or of another model: one line, and no memory taken."""

from __future__ import annotations

import gzip
import io
import pickle
import warnings
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
