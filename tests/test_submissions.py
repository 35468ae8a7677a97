"""YAML in: strict, safe, and every fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fracbench.errors import InputError
from fracbench.submission_schema import Submission, Weights
from fracbench.submissions import (
    default_dir,
    discover,
    read_entry,
    results_dir,
    starters_dir,
)
from fracbench.yamlio import read
from safetensors.torch import save_file
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


def test_starters_results_go_beside_them_in_a_checkout_and_to_results_from_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_dir() == starters_dir() and (starters_dir() / "always-fracture" / "submission.yaml").is_file()
    assert results_dir(Path("submissions"), "a", None) == Path("submissions/a/results")
    assert results_dir(Path("submissions"), "a", Path("r")) == Path("r/a")
    (tmp_path / "submissions").mkdir()
    assert default_dir() == Path("submissions")
