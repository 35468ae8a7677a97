"""Workers on this machine: a process for each card, or as many as are asked for."""

from __future__ import annotations

import multiprocessing
import queue
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from fracbench.apart import LOOK, Limits
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
        self._futures: list[Future[Results]] = []
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            self.abandon()
        self._threads.shutdown()

    def submit(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Future[Results]:
        self._futures = [of for of in self._futures if not of.done()]
        self._futures.append(self._threads.submit(self._compute, task, group, given, limits, told))
        return self._futures[-1]

    def abandon(self) -> None:
        """End the processes under way, and those that a thread was about to begin; then others may be submitted."""
        self._stopped = True
        for future in self._futures:
            future.cancel()
        while left := [of for of in self._futures if not of.done()]:
            for process in multiprocessing.active_children():
                process.kill()
            wait(left, timeout=LOOK)
        self._stopped = False

    def _compute(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Results:
        card = self._free.get()
        try:
            return compute_group(task, group, given, limits, told, card, lambda: self._stopped)
        finally:
            self._free.put(card)

    def lost(self, error: BaseException) -> str | None:
        return None
