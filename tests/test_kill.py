"""Runs that are killed, that meet each other, or whose disk is full or read-only: nothing is lost or counted twice."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import STARTERS, Command
from soak import same_rows, soak

NAME = "phantom-resnet-standard"
LIGHT = "always-fracture"


@pytest.mark.slow
def test_three_kills_leave_no_trace(smoke: Path, command: Command) -> None:
    run = ("run", NAME, "--benchmark", "smoke", "--submissions", STARTERS, "--results", "results")
    folder = command.folder / "results" / NAME / "smoke"
    killed = soak(lambda: command.start(*run), folder, smoke / NAME / "smoke", 3, 30, random.Random(2))
    assert killed.total() == 3


@pytest.mark.slow
def test_two_runs_at_once_compute_each_cell_once(smoke: Path, command: Command) -> None:
    run = ("run", LIGHT, "--benchmark", "smoke", "--submissions", STARTERS, "--results", "results")
    both = [command.start(*run) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    waited = [f"waiting for another run of {LIGHT}" in err for err in told]
    assert sorted(waited) == [False, True] and f"{LIGHT}: finished by another run" in told[waited.index(True)]
    folder = command.folder / "results" / LIGHT / "smoke"
    assert not (folder / "cells").exists()
    same_rows(folder, smoke / LIGHT / "smoke")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a mebibyte, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_the_run_in_one_line_and_room_lets_it_go_on(
    workers: int, smoke: Path, command: Command, small_disk: Path
) -> None:
    run = ("run", LIGHT, "--benchmark", "smoke", "--submissions", STARTERS, "--results", small_disk)
    full = command(*run, "--workers", str(workers))
    folder = small_disk / LIGHT / "smoke"
    said = [line for line in full.stderr.splitlines() if line.startswith("failed")]
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    kept = "what is finished is kept: mend that and repeat the command"
    assert said == [f"failed: {LIGHT}: {folder}/cells: No space left on device; {kept}"]
    assert list(folder.glob("cells/*.zip")) and not (folder / "run.json").exists()
    assert ": stopped" in full.stderr and ": done" not in full.stderr and "next: the same command" in full.stdout
    _remount(small_disk, "size=64m")
    done = command(*run)
    assert done.returncode == 0, done.stderr
    same_rows(folder, smoke / LIGHT / "smoke")


@pytest.mark.slow
def test_a_place_that_is_read_only_is_one_line_before_anything_is_computed(command: Command, small_disk: Path) -> None:
    _remount(small_disk, "ro")
    began = time.monotonic()
    done = command("run", LIGHT, "--benchmark", "smoke", "--submissions", STARTERS, "--results", small_disk)
    assert done.returncode == 2 and time.monotonic() - began < 120
    (line,) = (line for line in done.stderr.splitlines() if "error" in line)
    assert str(small_disk) in line and "Read-only file system" in line and "--results" in line
