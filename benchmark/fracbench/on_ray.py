"""Workers of a Ray cluster (https://docs.ray.io); Ray is an extra."""

from __future__ import annotations

import importlib
import socket
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from fracbench.apart import Limits
from fracbench.environment import environment
from fracbench.errors import InputError
from fracbench.groups import Group
from fracbench.spreading import Results, Told, compute_group
from fracbench.submissions import file_hash, weights_file
from fracbench.tasks import Task

START = "start one with `ray start --head`, or pass --ray local"


class RayPool:
    """Groups as Ray tasks, each on as many processors as its model has threads, and on a card where one is asked for.

    ``address`` is that of a cluster, ``auto`` for the one this machine belongs to, or ``local`` for one that lives as
    long as the pool. Every node needs this fracbench, the submissions and the data at the same paths.
    """

    def __init__(self, address: str, threads: int, cards: bool) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError:
            raise InputError("--ray needs Ray, which is not installed; type: pip install 'fracbench[ray]'") from None
        self._ray = ray
        _check_reachable(address)
        own = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, **own, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"--ray {address}: no cluster answers there ({error}); {START}") from None
        there = ray.cluster_resources()
        self.size = int(there.get("GPU", 0) if cards else there.get("CPU", 1) // threads)
        if not self.size:
            ray.shutdown()
            what = "a CUDA device" if cards else f"the {threads} processors a model is computed with"
            raise InputError(f"--ray {address}: no node has {what}; pass another --device, or set OMP_NUM_THREADS")
        options = {"num_cpus": 1 if cards else threads, "num_gpus": 1 if cards else 0, "max_retries": 0}
        self._remote = ray.remote(**options)(_compute)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._ray.shutdown()

    def submit(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Future[Results]:
        found: Future[Results] = self._remote.remote(task, group, given, limits).future()
        return found

    def abandon(self) -> None:
        """What is under way ends by itself, unheard."""

    def lost(self, error: BaseException) -> str | None:
        exceptions = self._ray.exceptions
        gone = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError,
                exceptions.LocalRayletDiedError, exceptions.OutOfMemoryError)  # fmt: skip
        return f"a worker was lost ({type(error).__name__})" if isinstance(error, gone) else None


def _check_reachable(address: str) -> None:
    """``InputError`` where nobody listens: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray {address}: no cluster answers there ({error}); {START}") from None


def _compute(task: Task, group: Group, given: Results, limits: Limits) -> Results:
    """On a node of the cluster: refuses where it would compute other numbers than the machine that asks."""
    here = environment(task.job, task.device, task.entry.submission.model.name) | {
        "threads": task.environment["threads"]
    }
    weights = weights_file(task.entry)
    here |= {"weights": file_hash(weights) if weights else None}
    asked = {**task.environment, "weights": task.weights}
    other = sorted(name for name, value in asked.items() if here.get(name) != value)
    if other:
        told = "; ".join(f"{name}: {_short(here.get(name))} there, {_short(asked[name])} here" for name in other)
        raise InputError(f"a node of the cluster computes with another {' and '.join(other)} ({told})")
    return compute_group(task, group, given, limits, lambda *_: None)


def _short(value: Any) -> str:
    return str(value)[:60]
