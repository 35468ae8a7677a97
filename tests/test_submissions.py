"""YAML in: strict, safe, and every fault with its line."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from file_server import Server, send
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.errors import InputError
from fracbench.files import cache_dir
from fracbench.schema import ThreatModel, parse_epsilon
from fracbench.submission_schema import Submission, Weights
from fracbench.submissions import (
    Entry,
    default_dir,
    discover,
    faults_of,
    file_hash,
    load_model,
    read_entry,
    results_dir,
    starters_dir,
    weights_file,
)
from fracbench.yamlio import read
from safetensors.torch import save, save_file
from test_cli import TINY, submissions

TITLE = "title: Tiny untrained network"


def entry_of(folder: Path, extra: str = "", state: dict[str, torch.Tensor] | None = None):  # type: ignore[no-untyped-def]
    root = submissions(folder, TINY + extra)
    if state is not None:
        save_file(state, root / "tiny" / "w.safetensors")
    return discover(root, None)[0]


@pytest.mark.parametrize(
    "change, line, says",
    [
        (("licence", "lisence"), 4, "unknown key 'lisence'. Did you mean 'licence'?"),
        (("  name: timm", "  nam: timm"), 7, "unknown key 'model.nam'. Did you mean 'name'?"),
        (("title: Tiny", "title: [Tiny"), 3, "not valid YAML"),
        (("[smoke]", "smoke"), 5, "benchmarks: 'smoke' is not a list; write [smoke]"),
        (("[smoke]", "[smoke, smoke]"), 1, "benchmarks are listed twice"),
        (("training:", "weights: {file: w, sha256: abc}\ntraining:"), 11, "write the 64 digits that `sha256sum FILE`"),
        (("training:", 'weights: {file: "a\\0b"}\ntraining:'), 11, "the invisible character U+0000 is not allowed"),
        (("training:", "weights: {file: " + "a" * 300 + "}\ntraining:"), 11, "write the name of a file"),
        (
            ("training:", "weights: {file: w, sha256: " + "1" * 64 + "}\ntraining:"),
            11,
            "sha256: reads as a number; put it in",
        ),
        (("training:", "weights: {file: w, size: 4 MB}\ntraining:"), 11, "write the bytes that `wc -c FILE` prints"),
        (("training:", "weights: {file: w, size: 0}\ntraining:"), 11, "greater than or equal to 1"),
        (("training:", "weights: {file: w, size: 9000000000}\ntraining:"), 11, "less than or equal to 8000000000"),
        (("training:", "weights: {}\ntraining:"), 11, "give either file or url"),
        (("training:", "weights: {url: https://a.org/w}\ntraining:"), 11, "needs the sha256 and the size in bytes"),
        (
            ("training:", "weights: {url: http://a.org/w}\ntraining:"),
            11,
            "is no https address; write https://HOST/FILE",
        ),
        (("training:", "weights: {url: 'https:///w'}\ntraining:"), 11, "is no https address"),
        (("training:", "weights: {url: 'https://[a/w'}\ntraining:"), 11, "weights.url: "),
        (("training:", "weights: {url: 'https://me:secret@a.org/w'}\ntraining:"), 11, "holds a user name"),
        (("training:", "weights: {url: 'ftp://a.org/w'}\ntraining:"), 11, "is no https address; write https"),
        (("training:", "links: ['javascript:alert(1)']\ntraining:"), 11, "write an http or https address"),
        (("training:", "reported: {a: .nan}\ntraining:"), 11, "finite"),
        (("architecture: resnet18", "architecture: !!binary /w=="), 9, "tags (!!binary) are not allowed; write the"),
        (("architecture: resnet18", "architecture: 2024-01-01"), 9, "model.params.architecture"),
        (("name: tiny", "name: Tiny!"), 1, "use lower case, digits and -"),
        (("authors: [Tests]", "authors: []"), 3, "authors"),
        (("licence: Apache-2.0", "title: again"), 4, "'title' is given twice"),
        (("[Tests]", "[&a Tests, *a]"), 3, "aliases (*name) are not allowed; write the value out"),
        (("training: {data: none}", "training: {data: none, sed: 3}"), 11, "Did you mean 'seed'"),
        ((TINY, "- a list"), 1, "expected keys and values"),
        (
            (TINY, "a: !!python/object/apply:os.system [ls]"),
            1,
            "tags (!!python/object/apply:os.system) are not allowed",
        ),
        ((TINY, ""), 1, "empty; `fracbench init NAME` writes one"),
        ((TITLE, "\ttitle: Tiny"), 2, "use spaces"),
        ((TITLE, "<<: {title: Tiny}"), 2, "merge keys (<<) are not allowed; write the keys out"),
        ((TITLE, "1: Tiny"), 2, "the key 1 is no text; put it in quotes"),
        ((TITLE, "on: Tiny"), 2, "the key on is no text"),
        ((TITLE, "? [title]\n: Tiny"), 2, "a key is a list or has keys itself"),
        ((TITLE, "title: 1"), 2, "title: '1' is not text; put it in quotes"),
        (("licence: Apache-2.0", "licence: no"), 4, "licence: 'False' is not text; put it in quotes"),
        ((TITLE, "title: 2024-13-01"), 2, "'2024-13-01' reads as a date or a number, and is none; put it in"),
        ((TITLE, "# \u202e\ntitle: Tiny"), 2, "the invisible character U+202E"),
        ((TITLE, "title: T\u200by"), 2, "the invisible character U+200B"),
        ((TITLE, 'title: "\\e[31mred"'), 2, "the invisible character U+001B"),
        ((TITLE, "title: |\n  a\n  b"), 2, "title: has a line break; write it on one line"),
        ((TITLE, "title: =HYPERLINK(0)"), 2, "title: begins with =, a formula in a spreadsheet; begin with a"),
        (("[Tests]", "['@SUM(A1)']"), 3, "authors.0: begins with @"),
        ((TITLE, "title: " + "a" * 201), 2, "title: 201 characters; write at most 200"),
        ((TITLE, "title: ''"), 2, "title: 0 characters; write at least 1"),
        (("[Tests]", f"[{', '.join('a' * 51)}]"), 3, "at most 50"),
        (
            ("training: {data: none}", "training: {data: none, seed: true}"),
            11,
            "write a whole number, without quotes",
        ),
        (("training:", "control: 'true'\ntraining:"), 11, "write true or false, without quotes"),
        (("resnet18", "[" * 20 + "]" * 20), 9, "nested more than 16 deep; write it flatter"),
        (("resnet18", f"[{'1, ' * 3000}]"), 9, "more than 2000 values; no file of ours needs so many"),
    ],
)
def test_faults_have_file_line_and_advice(tmp_path: Path, change: tuple[str, str], line: int | None, says: str) -> None:
    file = submissions(tmp_path, TINY.replace(*change)) / "tiny" / "submission.yaml"
    with pytest.raises(InputError) as caught:
        read(file, Submission)
    where = f"{file}:{line}: " if line else f"{file}: "
    assert any(fault.startswith(where) and says in fault for fault in caught.value.faults), caught.value.faults


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = TINY.replace("licence", "lisence").replace("authors: [Tests]", "authors: []")
    with pytest.raises(InputError) as caught:
        read(submissions(tmp_path, text) / "tiny" / "submission.yaml", Submission)
    assert len(caught.value.faults) == 3  # the empty list, the unknown key, the missing key


def test_a_name_must_be_its_folders(tmp_path: Path) -> None:
    root = submissions(tmp_path, TINY, "other")
    with pytest.raises(InputError, match="'tiny' must equal its folder's name 'other'"):
        read_entry(root / "other" / "submission.yaml", root, None)


def test_a_folded_text_and_a_byte_order_mark_are_welcome(tmp_path: Path) -> None:
    text = "\ufeff" + TINY.replace(TITLE, "title: >\n  A folded\n  title")
    file = submissions(tmp_path, text.replace("\n", "\r\n")) / "tiny" / "submission.yaml"
    assert read(file, Submission).title == "A folded title"


def test_markup_is_text_like_any_other(tmp_path: Path) -> None:
    for text in ("![x](http://evil/x.png)", "<img src=http://evil/x.png>", "[red]x[/red]"):
        file = (
            submissions(tmp_path / str(len(text)), TINY.replace(TITLE, f"title: '{text}'")) / "tiny" / "submission.yaml"
        )
        assert read(file, Submission).title == text


def test_of_many_faults_twenty_are_shown(tmp_path: Path) -> None:
    text = TINY + "".join(f"key{i}: 1\n" for i in range(900))
    with pytest.raises(InputError) as caught:
        read(submissions(tmp_path, text) / "tiny" / "submission.yaml", Submission)
    assert len(caught.value.faults) == 21 and caught.value.faults[-1].endswith("880 faults more")


def test_a_huge_or_binary_file_is_no_submission(tmp_path: Path) -> None:
    for content, says in ((b"a: b\n" * 100_000, "larger than"), (b"a: b\n\xff\xfe\x00", ":2: not UTF-8 text; save it")):
        file = tmp_path / "submission.yaml"
        file.write_bytes(content)
        with pytest.raises(InputError, match=says):
            read(file, Submission)


def test_a_local_address_needs_the_users_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRACBENCH_LOCAL_URLS", raising=False)
    for url in ("http://127.0.0.1:8000/w", "http://localhost/w"):
        with pytest.raises(ValueError, match=r"leads to this machine; .* set FRACBENCH_LOCAL_URLS=1 if it is yours"):
            Weights(url=url, sha256="a" * 64, size=1)


def test_a_hash_in_capitals_and_a_local_address_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACBENCH_LOCAL_URLS", "1")
    assert Weights(file="w", sha256="AB" * 32).sha256 == "ab" * 32
    for url in ("https://a.org/w", "http://127.0.0.1:8000/w", "http://localhost/w"):
        assert Weights(url=url, sha256="a" * 64, size=1).url == url


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


def test_starters_results_go_beside_them_in_a_checkout_and_to_results_from_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_dir() == starters_dir() and (starters_dir() / "always-fracture" / "submission.yaml").is_file()
    assert results_dir(Path("submissions"), "a", None) == Path("submissions/a/results")
    assert results_dir(Path("submissions"), "a", Path("r")) == Path("r/a")
    (tmp_path / "submissions").mkdir()
    assert default_dir() == Path("submissions")


@pytest.mark.parametrize(
    "written, says",
    [("4", "did you mean 4/255"), ("0/255", "not positive"), ("a/b", "not a fraction"), ("1/2/3", "not a")],
)
def test_epsilons_are_fractions(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_epsilon(written)
    assert parse_epsilon("0.5/255") == pytest.approx(0.5 / 255)


@pytest.mark.parametrize(
    "norm, epsilon, says",
    [
        ("linf", 4, r"epsilon 4 exceeds the pixel range \[0, 1\]; did you mean 4/255\?"),
        ("linf", 1.5, r"epsilon 1.5 exceeds the pixel range \[0, 1\]$"),
        ("linf", -0.1, "positive and finite"),
        ("l2", float("inf"), "positive and finite"),
        ("linf", "4/255", r"epsilon is text; give a number: parse_epsilon\('4/255'\)"),
        ("l1", 0.1, "unknown norm 'l1'; write linf or l2"),
        ("corruptions", 6, "severity 6 is not one of"),
    ],
)
def test_a_threat_model_that_cannot_be_is_refused(norm: Any, epsilon: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ThreatModel(norm, epsilon)


def test_a_spec_must_be_consistent() -> None:
    from worlds import spec

    with pytest.raises(ValueError, match="panel names explainers the spec does not run: lime"):
        spec(panel=["lime"])
    with pytest.raises(ValueError, match="listed twice"):
        spec(attacks=[{"name": "fgsm"}, {"name": "fgsm"}])
    with pytest.raises(ValueError, match="ascend"):
        ladder = {"epsilons": ["2/255", "1/255"], "attack": {"name": "fgsm"}}
        spec(threat={"norm": "linf", "epsilon": "2/255", "ladder": ladder})
    fgsm = [{"name": "fgsm"}]
    with pytest.raises(ValueError, match=r"epsilon 100/255 is no rung"):
        spec(threat={"norm": "linf", "epsilon": "100/255", "ladder": {"epsilons": ["1/255"], "attack": fgsm[0]}})
    with pytest.raises(ValueError, match=r"epsilon 4 exceeds the pixel range \[0, 1\]; did you mean 4/255\?"):
        spec(threat={"norm": "linf", "epsilon": 4})
    for norm, epsilon, below in (("linf", "128/255", "0.5"), ("l2", "16/1", "16")):
        with pytest.raises(ValueError, match=f"epsilon {epsilon} in {norm} lets every image become grey; .* {below}"):
            spec(further_threats=[{"norm": norm, "epsilon": epsilon, "attacks": fgsm}])
    for severities, says in (
        ([1, 1], "severity is listed twice"),
        ([], "at least 1 item"),
        ([6], "less than or equal"),
    ):
        with pytest.raises(ValueError, match=says):
            spec(corruptions={"kinds": [{"name": "jpeg"}], "severities": severities})
    with pytest.raises(ValueError, match="the attack that answers flags is 'adaptive', not 'fgsm'"):
        spec(adaptive={"name": "fgsm"})
    with pytest.raises(ValueError, match="repeats another"):
        spec(further_threats=[{"norm": "l2", "epsilon": written, "attacks": fgsm} for written in ("0.5", "1/2")])
    assert isinstance(spec(), BenchmarkSpec)


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
