"""Workers on this machine: a process for each card, or as many as are asked for."""

from __future__ import annotations

import multiprocessing
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from fracbench.apart import Limits
from fracbench.groups import Group
from fracbench.spreading import Results, Told, compute_group
from fracbench.tasks import Task


class LocalPool:
    """``size`` groups at a time, each in a process; on several ``cards``, each group has one to itself."""

    def __init__(self, size: int, cards: int = 0) -> None:
        self.size = size
        self._threads = ThreadPoolExecutor(size)
        self._free: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        for worker in range(size):
            self._free.put(worker % cards if cards else None)
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._stopped = True
        if kind is not None:
            for process in multiprocessing.active_children():
                process.kill()
        self._threads.shutdown(cancel_futures=True)

    def submit(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Future[Results]:
        return self._threads.submit(self._compute, task, group, given, limits, told)

    def _compute(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Results:
        card = self._free.get()
        try:
            return compute_group(task, group, given, limits, told, card, lambda: self._stopped)
        finally:
            self._free.put(card)

    def lost(self, error: BaseException) -> str | None:
        return None
