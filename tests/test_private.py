"""The private track: images of a secret seed, which nothing that is written or printed gives away."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fracbench
import pandas as pd
import pytest
from conftest import REPOSITORY, STARTERS, Command
from fracbench import registry, specs, tasks
from fracbench.board import read_board
from fracbench.errors import InputError
from fracbench.resolving import resolve
from fracbench.schema import PluginRef
from fracbench.submissions import discover
from fracbench.testing import TinyNet
from fracbench_plugins.datasets.phantom import Phantom, secret, shelf
from fracbench_plugins.datasets.phantom.private import PhantomPrivate
from PIL import Image
from test_cli import call
from test_phantom import FINGERPRINTS
from worlds import Broken, registered

SEEDS = ("correct-horse-battery-staple-1729", "2f1c77aa90e3b45d8c6e01f2d3a4b596")
STARTER, BENCHMARK = "phantom-resnet-standard", "phantom-private-v1"
TRIAL = ("--benchmark", BENCHMARK, "--limit", "4", "--budget", "0.05")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No seed is set, and none is known from before."""
    monkeypatch.setattr(secret, "_taken", [])
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    monkeypatch.delenv(secret.FILE, raising=False)


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhantomPrivate]:
    monkeypatch.setenv(secret.VARIABLE, SEEDS[0])
    yield PhantomPrivate(train=2, val=2, test=32)


def spellings(text: str) -> list[bytes]:
    """The seed as it is written, and its number in every way a program may write one."""
    number = secret._number(text, "")
    low = number % 2**128
    written = [text, *(form(of) for of in (number, low) for form in (str, "{:x}".format, "{:X}".format))]
    return [word.encode() for word in written] + [low.to_bytes(16, order) for order in ("big", "little")]


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and all that is packed in it: columns of tables, members of zips, texts of pictures."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        for name in table:
            yield "\n".join([str(name), *map(str, table[name])]).encode()
        for png in table.get("png", ()):
            with Image.open(io.BytesIO(png)) as picture:
                yield str(picture.info).encode() + picture.tobytes()
    elif path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            yield from (name.encode() + archive.read(name) for name in archive.namelist())


def check_nothing_tells(text: str, *folders: Path, also: str = "") -> bytes:
    """All that lies below the folders, names included; fails where a spelling of the seed is in it."""
    files = [path for folder in folders for path in folder.rglob("*")]
    found = [also.encode(), *(str(path).encode() for path in files)]
    found += [piece for path in files if path.is_file() for piece in contents(path)]
    everything = b"\n".join(found)
    assert not [word for word in spellings(text) if word in everything]
    return everything


@pytest.mark.slow
def test_a_whole_run_gives_the_seed_away_nowhere_and_other_seeds_make_other_boards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, results = tmp_path / "cache", tmp_path / "results"
    environment = os.environ | {"FRACBENCH_CACHE": str(cache), secret.VARIABLE: SEEDS[0]}
    done = Command(tmp_path, environment)("run", STARTER, *TRIAL, "--submissions", STARTERS, "--results", results)
    assert done.returncode == 0, done.stderr
    everything = check_nothing_tells(SEEDS[0], results, cache, also=done.stdout + done.stderr)
    for known in (b"phantom-private", b"test-000", b"subtlety"):
        assert known in everything, "the search reads what is packed"

    # the same in a process that goes on, with cells that fail, and another seed
    monkeypatch.setenv("FRACBENCH_CACHE", str(cache))
    monkeypatch.setenv(secret.VARIABLE, SEEDS[1])
    with registered(brokenattack=("attacks", Broken)):
        result = fracbench.evaluate(TinyNet(), BENCHMARK, attacks=["brokenattack"], limit=2, budget=0.05)
    result.save(results)
    assert "broken on purpose" in result.run["cells"][1]["error"] and "Traceback" in result.run["cells"][1]["traceback"]
    for text in SEEDS:
        check_nothing_tells(text, results, cache, also=repr(result) + json.dumps(result.run))

    board = read_board(tmp_path, results)
    assert not board.broken and len(board.rows) == len(board.boards()) == 2, "other images, another table"
    (folder,) = {path.stat().st_mode & 0o777 for path in cache.glob("phantom-*/private-*")}
    assert folder == 0o700, "masks of private images are nobody's to read"


def test_the_same_seed_draws_the_same_images_and_another_others(
    private: PhantomPrivate, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = PhantomPrivate(test=32)
    assert again.fingerprint("test") == private.fingerprint("test")
    monkeypatch.setenv(secret.VARIABLE, SEEDS[1])
    other = PhantomPrivate(test=32)
    public = Phantom(test=32)
    assert len({of.fingerprint("test") for of in (private, other, public)}) == 3
    assert len({of.read(of.samples("test")[1]).image.tobytes() for of in (private, other, public)}) == 3
    assert [s.id for s in other.samples("test")] == [s.id for s in public.samples("test")], "names tell nothing"
    assert min(private.seed, other.seed) >= 2**128 > shelf.SECRET, "no public seed, which a spec may name, is as large"


def test_public_pictures_keep_their_place_in_the_cache(own_cache: Path) -> None:
    assert Phantom(test=128).fingerprint("test") == FINGERPRINTS["test"]
    assert list(own_cache.glob("phantom-*/0-test-0.5-0.5-0.5-0003.npz"))


def test_the_object_goes_to_another_process_and_the_variable_does_not(private: PhantomPrivate) -> None:
    assert secret.VARIABLE not in os.environ
    sent = pickle.loads(pickle.dumps(private))
    assert sent == private and sent.fingerprint("test") == private.fingerprint("test")
    for shown in (repr(private), str(private), f"{sent!r}"):
        assert "seed" not in shown and not [word for word in spellings(SEEDS[0]) if word.decode("latin") in shown]
    assert PhantomPrivate(train=2, val=2, test=32) == private, "once read it is known in this process"


def test_the_seed_is_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.VARIABLE, SEEDS[0])
    with pytest.raises(InputError, match="dataset 'phantom-private' has no parameter 'seed'"):
        registry.make("datasets", "phantom-private", {"seed": 1}, root=None)


def file(folder: Path, content: str | bytes = SEEDS[0] + "\n", mode: int = 0o600) -> Path:
    path = folder / "secret-seed"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def test_a_file_gives_the_same_seed_as_the_variable(
    private: PhantomPrivate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(secret.FILE, str(file(tmp_path)))
    assert PhantomPrivate().seed == private.seed
    monkeypatch.setenv(secret.VARIABLE, SEEDS[1])
    with pytest.raises(InputError, match="are both set; unset one of them"):
        PhantomPrivate()


@pytest.mark.parametrize(
    "text", ["", "123456789012345", "a" * 40, "line one of it\nline two of it", "seed \udcff number one"]
)
def test_a_seed_that_can_be_guessed_is_refused_and_never_quoted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.VARIABLE, text)
    for _ in range(2):
        with pytest.raises(InputError, match="a secret seed is one line of at least 16 characters, 8 of them") as told:
            PhantomPrivate()
        assert len(told.value.faults) == 1 and (not text or text not in str(told.value))


@pytest.mark.parametrize(
    "content, mode, says",
    [
        (SEEDS[0], 0o644, "everybody can read it; type chmod 600"),
        (b"\xff\xfe" * 20, 0o600, "is not UTF-8 text; make one with"),
        (b"seed number one " * 10_000, 0o600, "one line of at least 16 characters"),
    ],
)
def test_a_file_that_will_not_do_is_one_line(
    content: str | bytes, mode: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(secret.FILE, str(file(tmp_path, content, mode)))
    with pytest.raises(InputError, match=says) as told:
        PhantomPrivate()
    assert len(told.value.faults) == 1


def test_missing_seeds_say_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("run", STARTER, *TRIAL, "--submissions", STARTERS, "--results", tmp_path / "results")
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2 and line.startswith("error: the private phantom needs a secret seed; make one with")
    assert "secrets.token_hex(16)" in line and secret.FILE in line and not (tmp_path / "results").exists()
    monkeypatch.setenv(secret.FILE, str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no such file; make one with"):
        PhantomPrivate()


@pytest.mark.parametrize("sign", [".git", "pyproject.toml"])
def test_a_file_in_a_repository_is_refused(sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "repository" / "deep"
    inside.mkdir(parents=True)
    (inside.parent / sign).write_text("")
    monkeypatch.setenv(secret.FILE, str(file(inside)))
    with pytest.raises(InputError, match=f"lies in the repository {inside.parent}; move it out"):
        PhantomPrivate()
    (tmp_path / "link").symlink_to(inside / "secret-seed")
    monkeypatch.setenv(secret.FILE, str(tmp_path / "link"))
    with pytest.raises(InputError, match=f"lies in the repository {inside.parent}; move it out"):
        PhantomPrivate()


@pytest.mark.parametrize("place", ["submissions", "results", "results/other"])
def test_a_file_among_submissions_or_results_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "submissions" / STARTER
    target.mkdir(parents=True)
    for name in ("submission.yaml", "weights.safetensors"):
        (target / name).write_bytes((STARTERS / STARTER / name).read_bytes())
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv(secret.FILE, str(file(tmp_path / place)))
    entries = discover(tmp_path / "submissions", tmp_path / "results")
    small = PluginRef(name="phantom-private", params={"train": 2, "val": 2, "test": 32})
    job = resolve(specs.load(BENCHMARK).model_copy(update={"dataset": small}), limit=2, budget=0.05)
    with pytest.raises(InputError, match=r"the secret .*secret-seed lies in .*, which is handed on; move it") as told:
        tasks.bind(entries, job, "cpu")
    assert len(told.value.faults) == 1


def test_the_protocol_is_that_of_the_public_board_and_so_are_the_entrants() -> None:
    public, private = (specs.load(name) for name in ("phantom-v1", BENCHMARK))
    own = {"name", "dataset"}
    assert {k: v for k, v in public.decisive().items() if k not in own} == {
        k: v for k, v in private.decisive().items() if k not in own
    }
    for entry in discover(STARTERS, None):
        assert entry.submission.enters(private) == entry.submission.enters(public)
    assert not public.entered_by and (REPOSITORY / "docs" / "private-track.md").is_file()
