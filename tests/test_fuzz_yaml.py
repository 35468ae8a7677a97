"""Whatever a file holds, the YAML door lets a submission in or says in clear lines why not, and soon.

``FUZZ_EXAMPLES=100000 pytest tests/test_fuzz_yaml.py`` looks further.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.errors import InputError
from fracbench.submission_schema import Submission
from fracbench.submissions import faults_of
from fracbench.yamlio import MAX_BYTES, read
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_cli import TINY

GOOD = f"""{TINY}contact: tests@example.org
weights: {{file: w.safetensors, sha256: {"a" * 64}}}
reported: {{clean: 0.9}}
links: [https://example.org/paper]
control: false
"""
SECONDS = 1.0  # of processor time
bounded = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TOKENS = st.sampled_from(
    ["\t", "\r", "\0", "\ufeff", "\u202e", "\u2028", "\x85", "- ", ": ", "? ", "[", "]", "{", "}", ",", "#", "&a ",
     "*a", "!!python/name:os.system ", "!<x> ", "! ", "%YAML 9.9\n", "---\n", "...\n", "<<: ", "|\n", ">-\n", "'", '"',
     '"\\ud800"', '"\\u202e"', "~", "=", ".inf", "-.nan", "1e999", "0x_", "0b_", "2024-13-01", "1:60:60", "9" * 5000,
     "2001-12-14t21:59:43.1-99:99", "a" * 300, "𝒜" * 200, "../../x", "/dev/zero", "[" * 40, "{a: " * 40, "on", "null",
     "@", "`", "\n", "\n\n  "]
)  # fmt: skip
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.datetimes()
SCALARS = PLAIN | st.text(max_size=20) | TOKENS
KEYS = SCALARS.filter(lambda key: key == key)  # not a number is no key
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
PLACES = [("name",), ("title",), ("authors",), ("authors", 0), ("contact",), ("licence",), ("benchmarks",),
          ("benchmarks", 0), ("model",), ("model", "name"), ("model", "params"), ("model", "params", "options"),
          ("weights",), ("weights", "file"), ("weights", "sha256"), ("training",), ("training", "data"),
          ("training", "seed"), ("reported",), ("reported", "clean"), ("links",), ("links", 0), ("control",),
          ("new",), ("model", "new"), ("training", "new")]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "submissions" / "tiny").mkdir(parents=True)
    return tmp_path / "submissions" / "tiny" / "submission.yaml"


@contextmanager
def clear_words() -> Iterator[None]:
    """Only ``InputError`` may leave the block, with faults that anyone can read, and in time."""
    gc.disable()  # its pauses grow with what hypothesis remembers
    began = time.process_time()
    try:
        yield
    except InputError as error:
        check_lines(error.faults)
        assert error.faults
    finally:
        gc.enable()
    assert time.process_time() - began < SECONDS


def check_lines(faults: list[str]) -> None:
    assert len(faults) <= 60
    for fault in faults:
        assert fault.strip() and fault.isprintable() and len(fault) < 1500


def door(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with clear_words():
        read(file, Submission)
    with clear_words():
        check_lines(faults_of(file))
    with clear_words():
        read(file, BenchmarkSpec)


@bounded
@given(content=st.binary(max_size=300))
def test_any_bytes(file: Path, content: bytes) -> None:
    door(file, content)


@bounded
@given(pieces=st.lists(TOKENS | st.sampled_from(GOOD.splitlines(keepends=True)) | st.text(max_size=5), max_size=40))
def test_any_pieces_of_yaml(file: Path, pieces: list[str]) -> None:
    door(file, "".join(pieces).encode("utf-8", "surrogatepass"))


@bounded
@given(tree=TREES)
def test_any_tree(file: Path, tree: object) -> None:
    door(file, yaml.dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@bounded
@given(changes=st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), TOKENS), min_size=1, max_size=4))
def test_any_damage_to_a_good_submission(file: Path, changes: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for place, length, token in changes:
        text = text[:place] + token + text[place + length :]
    door(file, text.encode("utf-8", "surrogatepass"))


@bounded
@given(place=st.sampled_from(PLACES), value=TREES)
@example(place=("model", "params"), value={"\n": None})
def test_any_value_in_any_place(file: Path, place: tuple[str | int, ...], value: object) -> None:
    content = yaml.safe_load(GOOD)
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    door(file, yaml.dump(content, allow_unicode=True).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "text",
    ["[" * MAX_BYTES, "[\n" * (MAX_BYTES // 2), "{a: " * (MAX_BYTES // 4), "- " * (MAX_BYTES // 2), "#" * MAX_BYTES,
     "? " * (MAX_BYTES // 2), "&a " * (MAX_BYTES // 3), "a" * MAX_BYTES, "'" + "a\n" * (MAX_BYTES // 2 - 1),
     "\n" * MAX_BYTES, "a: b\n" * (MAX_BYTES // 5), "".join(f"{i}: 1\n" for i in range(6000)),
     "".join(f"k{i}: 1\n" for i in range(900)), "".join(f"k{i}: 1\n" for i in range(900)) + "a" * 40_000 + ": 1",
     "benchmarks: [" + "smokey, " * 1900 + "]", "name: 0x" + "f" * 60_000, "name: " + "1:" * 30_000 + "1",
     "name: " + "1_" * 30_000, "name: 1." + "0" * 60_000 + "x", "|" + "\n " * 30_000, "%TAG ! a\n" * 7000,
     "\ufeff" * 20_000, "-" * MAX_BYTES, "---\n" * 16_000, "!" * MAX_BYTES, "name: 2001-01-01 " + " " * 60_000,
     "links: [" + "http://a, " * 1000 + "]", '"' + "\\x41" * 10_000 + '"', f"{TINY}weights: {{file: {'𝒜' * 200}}}",
     TINY.replace("[smoke]", f"[{', '.join(f'smoke{i}' for i in range(50))}]")],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_what_is_made_to_tire_does_not(file: Path, text: str) -> None:
    door(file, text.encode()[:MAX_BYTES])
