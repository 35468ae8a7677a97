"""Weights of a submission: where they may lie, how they are fetched, and what does not fit."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from file_server import Server, send
from fracbench.errors import InputError
from fracbench.files import cache_dir
from fracbench.submission_schema import Weights
from fracbench.submissions import (
    Entry,
    faults_of,
    file_hash,
    load_model,
    weights_file,
)
from safetensors.torch import save, save_file
from test_submissions import entry_of


@pytest.mark.parametrize("written", ["w.safetensors", "below/w.safetensors", "./w.safetensors", "up..w.safetensors"])
def test_weights_are_found_inside_with_their_hash_and_size(tmp_path: Path, written: str) -> None:
    entry = entry_of(tmp_path, "weights: {file: " + written + "}")
    path = entry.folder / written
    path.parent.mkdir(exist_ok=True)
    save_file({"a": torch.zeros(1)}, path)
    assert weights_file(entry) == path
    size, sha256 = path.stat().st_size, file_hash(path)
    good = Weights(file=written, size=size, sha256=sha256)
    assert weights_file(changed(entry, good)) == path
    with pytest.raises(InputError, match=f"has {size} bytes, not the 7 declared"):
        weights_file(changed(entry, good.model_copy(update={"size": 7})))
    with pytest.raises(InputError, match=f"sha256 of .* is {sha256}, not the one declared"):
        weights_file(changed(entry, good.model_copy(update={"sha256": "a" * 64})))


def changed(entry: Entry, weights: Weights) -> Entry:
    return replace(entry, submission=entry.submission.model_copy(update={"weights": weights}))


@pytest.mark.parametrize(
    "written", ["../w", "below/../w", "/etc/passwd", "link", "folder/w", "inside/w", "..", "below/../../w"]
)
def test_weights_that_leave_the_folder_are_refused(tmp_path: Path, written: str) -> None:
    entry = entry_of(tmp_path, "weights: {file: " + written + "}")
    (tmp_path / "outside").mkdir()
    for there in (tmp_path / "outside" / "w", entry.folder / "w", entry.folder.parent / "w"):
        save_file({"a": torch.zeros(1)}, there)
    (entry.folder / "below").mkdir()
    (entry.folder / "link").symlink_to("w")
    (entry.folder / "folder").symlink_to(tmp_path / "outside")
    (entry.folder / "inside").symlink_to(".")
    with pytest.raises(InputError, match="leaves the submission's folder, or is a link; put the file itself there"):
        weights_file(entry)


@pytest.mark.parametrize("written", [".", "below", "pipe", "~/w", "w/w"])
def test_what_is_no_file_is_refused(tmp_path: Path, written: str) -> None:
    entry = entry_of(tmp_path, "weights: {file: '" + written + "'}")
    (entry.folder / "below").mkdir()
    (entry.folder / "w").touch()
    os.mkfifo(entry.folder / "pipe")
    with pytest.raises(InputError, match=r"is not there, or no file|cannot be read"):
        weights_file(entry)


def test_a_file_of_absurd_size_is_not_hashed(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "weights: {file: w, sha256: " + "a" * 64 + "}")
    with (entry.folder / "w").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="has 1099511627776 bytes, more than 8000000000; save the weights alone"):
        weights_file(entry)


def test_a_url_is_downloaded_when_it_is_run_and_not_when_it_is_validated(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    initial = load_model_without_weights(tmp_path / "other").state_dict()
    content = save({name: (value + 1).contiguous() for name, value in initial.items()})
    sha256 = hashlib.sha256(content).hexdigest()
    server.answer = lambda request, _: send(request, content)
    entry = entry_of(tmp_path, f"weights: {{url: '{server.url}', sha256: {sha256.upper()}, size: {len(content)}}}")
    assert faults_of(entry.folder / "submission.yaml") == [] and not server.ranges
    for _ in range(2):
        loaded = load_model(entry, 64, "cpu", 8).network.state_dict()
        assert all(torch.equal(loaded[name], value + 1) for name, value in initial.items())
    assert len(server.ranges) == 1
    assert weights_file(entry) == cache_dir() / "weights" / sha256
    assert capsys.readouterr().err.splitlines()[0].startswith("weights of tiny: 0.0 of ")


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights_load_from_both_formats(tmp_path: Path, suffix: str) -> None:
    entry = entry_of(tmp_path, f"weights: {{file: w.{suffix}}}")
    initial = load_model_without_weights(tmp_path / "other").state_dict()
    state = {key: (value + 1).contiguous() for key, value in initial.items()}
    path = entry.folder / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    loaded = load_model(entry, 64, "cpu", 8).network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def load_model_without_weights(folder: Path) -> torch.nn.Module:
    return load_model(entry_of(folder), 64, "cpu", 8).network


def test_a_model_without_weights_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (load_model_without_weights(tmp_path / name).state_dict() for name in "ab")
    assert all(torch.equal(second[key], value) for key, value in first.items())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_a_pickle_that_executes_code_is_refused(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "weights: {file: w.pt}")
    torch.save({"fc.weight": Evil()}, entry.folder / "w.pt")
    with pytest.raises(InputError, match="cannot be opened as tensors alone"):
        load_model(entry, 64, "cpu", 8)


def bare(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("network."): value for key, value in state.items()}


@pytest.mark.parametrize(
    "change, says",
    [
        (bare, "names lack the prefix 'network.'; put it before each"),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "names have a prefix 'module.'; take it off"),
        (lambda s: {f"model.{k}": v for k, v in bare(s).items()}, "begin with 'model.'; put 'network.' in its place"),
        (lambda s: {"epoch": 3, "state_dict": s}, "nested below state_dict; save the state dict alone"),
        (lambda s: {**s, "epoch": 3}, "epoch is no plain tensor"),
        (lambda s: {k: v for k, v in s.items() if "fc" not in k}, "2 missing .network.fc.bias, network.fc.weight."),
        (lambda s: {**s, "network.fc.bias": torch.zeros(3)}, r"network.fc.bias is \(3,\) where the model has \(2,\)"),
        (lambda s: [s], "holds a list"),
        (lambda s: {k: v.to_sparse() for k, v in s.items()}, "_rebuild_sparse_tensor, which no plain tensor needs"),
        (lambda s: {k: v.to("meta") for k, v in s.items()}, "_rebuild_meta_tensor_no_storage, which no plain tensor"),
        (lambda s: {**s, "network.fc.bias": torch.ones(2, dtype=torch.int8)}, "is torch.int8 where the model has"),
        (lambda s: {**s, "network.fc.bias": torch.ones(2, dtype=torch.cfloat)}, "is torch.complex64 where"),
        (lambda s: {**s, "x" * 10_000: torch.ones(1)}, r"1 unknown \(x{80}\)"),
    ],
)
def test_weights_that_do_not_fit_say_why_in_a_whole_sentence(tmp_path: Path, change: Any, says: str) -> None:
    entry = entry_of(tmp_path, "weights: {file: w.pt}")
    state = load_model_without_weights(tmp_path / "other").state_dict()
    torch.save(change(state), entry.folder / "w.pt")
    with pytest.raises(InputError, match=says) as caught:
        load_model(entry, 64, "cpu", 8)
    assert len(caught.value.faults) == 1 and "\n" not in caught.value.faults[0]


def test_weights_are_hashed_once_for_as_long_as_they_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = tmp_path / "w", []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *of: read.append(of) or digest(*of))
    file.write_bytes(b"one")
    assert file_hash(file) == file_hash(file) == hashlib.sha256(b"one").hexdigest() and len(read) == 1
    file.write_bytes(b"other")
    assert file_hash(file) == hashlib.sha256(b"other").hexdigest() and len(read) == 2
