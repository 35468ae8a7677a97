"""Fixtures shared by the tests; results and keys never touch the user's own folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# as the command line sets it: threads that spin for each other are slow where another process has the core
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# each worker has cores of its own, and so have the commands it starts
os.environ["OMP_NUM_THREADS"] = str(max(1, 2 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))

import pytest
import torch
from file_server import Server
from filelock import FileLock
from worlds import Blobs, Broken, Oracle, registered

LONG = ("test_bad_submissions", "test_pages", "test_starters", "test_end_to_end", "test_kill", "test_recomputed",
        "test_browser", "test_cli", "test_example_plugin", "test_private", "test_tutorial", "test_wheel", "test_links",
        "test_third_party", "test_verify", "test_claims", "test_report")  # fmt: skip
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

REPOSITORY = Path(__file__).resolve().parents[1]
STARTERS = REPOSITORY / "submissions"


def _shared(factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run, the same for all its workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _cache(factory: pytest.TempPathFactory) -> Path:
    return _shared(factory) / "fracbench-cache"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take a minute come first, so that no worker is left alone with one."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder (with the key of the seals) that lasts for the whole test run."""
    monkeypatch.setenv("FRACBENCH_CACHE", str(_cache(tmp_path_factory)))
    return _cache(tmp_path_factory)


@pytest.fixture
def results(smoke: Path, tmp_path: Path) -> Path:
    """A results folder with the smoke run of one starter, which a test may change."""
    shutil.copytree(smoke / "phantom-resnet-standard", tmp_path / "results" / "phantom-resnet-standard")
    return tmp_path / "results"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A file server on this machine, reached past any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("FRACBENCH_LOCAL_URLS", "1")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def blobs() -> Iterator[None]:
    with registered(
        blobs=("datasets", Blobs),
        oracle=("explainers", Oracle),
        broken=("explainers", Broken),
        brokenattack=("attacks", Broken),
    ):
        yield


@dataclass(frozen=True)
class Command:
    """The installed command line, as a user would call it, in a folder of its own."""

    folder: Path
    environment: dict[str, str]
    python: str = sys.executable

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        words = [self.python, "-m", "fracbench", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, text=True, **pipes)  # type: ignore[call-overload]

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate()
        return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.fixture(scope="session")
def make_command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Command]:
    return lambda folder: Command(folder, os.environ | {"FRACBENCH_CACHE": str(_cache(tmp_path_factory))})


@pytest.fixture
def command(tmp_path: Path, make_command: Callable[[Path], Command]) -> Command:
    return make_command(tmp_path)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, make_command: Callable[[Path], Command]) -> Path:
    """Results folder of the starters on the smoke benchmark, from the command line, once for all tests."""
    folder = _shared(tmp_path_factory) / "smoke"
    whole = folder / "whole"
    with FileLock(f"{folder}.lock"):
        if not whole.exists():
            folder.mkdir()
            done = make_command(folder)(
                "run", "--all", "--benchmark", "smoke", "--submissions", STARTERS, "--results", folder / "results"
            )
            assert done.returncode == 0, done.stderr
            (folder / "stdout").write_text(done.stdout)
            (folder / "stderr").write_text(done.stderr)
            whole.touch()
    return folder / "results"
