"""Several workers compute what one computes: every cell once, in groups that depend on nobody."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import STARTERS, Command
from fracbench import on_ray, specs, tasks, workers
from fracbench.apart import Limits
from fracbench.cell_store import CellResult
from fracbench.errors import InputError
from fracbench.groups import Group, grouped
from fracbench.plan import Cell
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.spreading import _Spread
from fracbench.submissions import survey
from fracbench.workers import LocalPool
from soak import same_rows

NAME = "phantom-resnet-pgd-at"


@pytest.mark.parametrize("benchmark", ["smoke", "phantom-v1"])
def test_every_cell_is_in_one_group_which_needs_earlier_ones_alone(benchmark: str) -> None:
    job = resolve(specs.load(benchmark), limit=16)
    for batch in range(len(job.batches)):
        cells, answering = job.cells(batch), job.answering(batch)
        groups = [*grouped(job, cells), *grouped(job, answering)]
        assert sorted(map(str, (cell for group in groups for cell in group.cells))) == sorted(
            map(str, [*cells, *answering])
        )
        order = {cell: place for place, cell in enumerate([*cells, *answering])}
        for group in groups:
            assert [order[cell] for cell in group.cells] == sorted(order[cell] for cell in group.cells)
            assert all(order[need] < order[group.cells[0]] and need not in group.cells for need in group.needs)
        attacked = {group.cells[0].attack for group in groups if group.cells[0].kind == "attack"}
        assert attacked == {*job.attacks, "adaptive"}
        (ladder,) = (group for group in groups if group.cells[-1].kind == "symptoms")
        assert [cell.kind for cell in ladder.cells] == ["ladder", "symptoms"]
        assert [cell.attack for cell in ladder.needs] == ["clean", *job.attacks]


def test_what_is_learnt_of_a_cell_takes_nothing_from_the_group_under_way() -> None:
    """A process that goes on after a death is given the attacked images that its group has made."""
    job = resolve(specs.load("smoke"))
    cell = next(cell for cell in job.cells(0) if cell.kind == "attack")
    result = CellResult({"status": "done"}, {}, np.zeros((1, 1, 2, 2)))
    spread = _Spread(SimpleNamespace(job=job), None, None, Silent())  # type: ignore[arg-type]
    spread._learn(cell, result, cached=False)
    assert spread.known[cell].images is None and result.images is not None


@pytest.mark.slow
def test_two_workers_make_the_rows_of_one(smoke: Path, tmp_path: Path, command: Command) -> None:
    flagged = "fake-defence"  # which the adaptive attack answers
    arguments = ("--benchmark", "smoke", "--submissions", STARTERS, "--results", tmp_path / "results")
    done = command("run", NAME, flagged, *arguments, "--workers", "2")
    assert done.returncode == 0, done.stderr
    for name in (NAME, flagged):
        same_rows(smoke / name / "smoke", tmp_path / "results" / name / "smoke")
    assert "the adaptive attack answers" in done.stderr
    assert not list((tmp_path / "results").glob("*/smoke/cells"))


@pytest.mark.slow
def test_ctrl_c_ends_every_worker_and_what_is_finished_is_kept(smoke: Path, tmp_path: Path, command: Command) -> None:
    results = tmp_path / "results"
    run = ("run", NAME, "--benchmark", "smoke", "--submissions", STARTERS, "--results", results, "--workers", "2")
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # by pytest's workers, which a child inherits
    process = command.start(*run)
    signal.signal(signal.SIGINT, ignored)
    deadline = time.monotonic() + 300
    while not list(results.glob("*/smoke/cells/*.zip")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 15 and "Traceback" not in err, err
    assert "Repeat the same command to go on" in err
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    kept = len(list(results.glob("*/smoke/cells/*.zip")))
    done = command(*run[:-2])
    assert kept and done.returncode == 0, done.stderr
    same_rows(smoke / NAME / "smoke", results / NAME / "smoke")


def test_every_card_is_used_and_by_one_group_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    busy: list[int] = []
    used: list[int] = []
    together = Barrier(3, timeout=30)  # nobody goes on before all cards are busy

    def compute(task: Any, group: Any, given: Any, limits: Any, told: Any, card: int, stopped: Any) -> Any:
        assert card not in busy
        busy.append(card)
        together.wait()
        used.append(card)
        busy.remove(card)
        return {}

    monkeypatch.setattr(workers, "compute_group", compute)
    with LocalPool(3, cards=3) as pool:
        done = [pool.submit(None, None, {}, Limits(2**30), lambda *_: None) for _ in range(12)]  # type: ignore[arg-type]
        assert [of.result(timeout=60) for of in done] == [{}] * 12
    assert Counter(used) == {0: 4, 1: 4, 2: 4}


def test_what_nobody_waits_for_is_ended_and_others_may_be_computed() -> None:
    """As after a full disk, which ends a submission and not the command."""
    began = time.monotonic()
    with LocalPool(2) as pool:
        hangs = [pool._threads.submit(_in_a_process, pool) for _ in range(4)]
        pool._futures += hangs
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        pool.abandon()
        assert all(of.done() for of in hangs) and not multiprocessing.active_children()
        assert not pool._stopped
    assert time.monotonic() - began < 60


def _in_a_process(pool: LocalPool) -> str:
    """Begins processes that never end until it is told to stop, as ``compute_group`` does."""
    while not pool._stopped:
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
        process.start()
        process.join()
    return "stopped"


@pytest.fixture
def two_nodes(command: Command) -> Any:
    """A Ray cluster of two nodes on this machine, each with room for one model."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    threads = int(command.environment.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": threads, "include_dashboard": False})
    node = cluster.add_node(num_cpus=threads)
    yield cluster, node
    cluster.shutdown()


def _computes(node: Any) -> bool:
    """Whether a worker of this node has a process under way, which its server forks for the cells of a group."""
    (raylet,) = node.all_processes["raylet"]
    with contextlib.suppress(psutil.NoSuchProcess):  # one of them has just ended
        workers = [child for child in psutil.Process(raylet.process.pid).children() if child.name().startswith("ray::")]
        return any(server.children() for worker in workers for server in worker.children())
    return False


@pytest.mark.slow
def test_ray_makes_the_same_rows_also_where_a_node_is_lost(
    smoke: Path, tmp_path: Path, command: Command, two_nodes: Any
) -> None:
    cluster, node = two_nodes
    results = tmp_path / "results"
    run = ("run", NAME, "--benchmark", "smoke", "--submissions", STARTERS, "--results", results)
    process = command.start(*run, "--ray", cluster.address)
    deadline = time.monotonic() + 400
    while not _computes(node):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert "a worker was lost" in err and "computed again" in err
    same_rows(smoke / NAME / "smoke", results / NAME / "smoke")


def test_a_node_that_would_compute_other_numbers_is_refused_with_what_differs(tmp_path: Path) -> None:
    job = resolve(specs.load("smoke"))
    (task,) = tasks.bind(survey(STARTERS, tmp_path, [NAME])[0], job, "cpu")
    group = Group((Cell("clean", 0),), ())
    for name, there in (("code", "another"), ("versions", {"torch": "1.0"}), ("device_name", "Other card")):
        asking = replace(task, environment={**task.environment, name: there})
        with pytest.raises(InputError, match=f"computes with another {name} .*{name}: .* there, .* here"):
            on_ray._compute(asking, group, {}, Limits(2**40))
    with pytest.raises(InputError, match="computes with another weights "):
        on_ray._compute(replace(task, weights="0" * 64), group, {}, Limits(2**40))


def test_ray_that_is_not_there_is_one_line(tmp_path: Path, command: Command) -> None:
    run = ("run", NAME, "--benchmark", "smoke", "--submissions", STARTERS, "--results", tmp_path / "results")
    both = command(*run, "--ray", "auto", "--workers", "2")
    assert both.returncode == 2 and both.stderr.startswith("error: pass --workers or --ray"), both.stderr
    pytest.importorskip("ray")
    nobody = command(*run, "--ray", "127.0.0.1:1")
    assert nobody.returncode == 2 and "no cluster answers there" in nobody.stderr, nobody.stderr
    assert "Traceback" not in nobody.stderr
    shutil.rmtree(tmp_path / "results", ignore_errors=True)
