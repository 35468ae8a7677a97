"""One submission on several workers: its groups of cells are spread, and joined as if one process had computed them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

from fracbench import inside
from fracbench.apart import Died, Limits, apart
from fracbench.cell_store import CellResult
from fracbench.cells import record_of as cell_record
from fracbench.errors import InputError
from fracbench.groups import Group, grouped
from fracbench.identity import named
from fracbench.inside import BETWEEN_CELLS
from fracbench.plan import Cell
from fracbench.progress import Progress
from fracbench.runner import Collected, Outcome, asking_of, outcome_of, tell_blank, told
from fracbench.schema import ADAPTIVE
from fracbench.tasks import Task

DEATHS = 3  # after so many of a group, or of a run in one process, what is left is given up
Results = dict[Cell, CellResult]
Told = Callable[[Cell, CellResult], None]


class Pool(Protocol):
    """Workers that compute groups of cells, each where and when there is room."""

    size: int

    def submit(self, task: Task, group: Group, given: Results, limits: Limits, told: Told) -> Future[Results]:
        """Begin to compute a group; ``told`` may hear of each cell as it is finished, before the future has all."""

    def abandon(self) -> None:
        """Nobody waits any more for what is under way."""

    def lost(self, error: BaseException) -> str | None:
        """Why the same group may be computed again elsewhere; None where it would fail again."""


def compute_group(
    task: Task,
    group: Group,
    given: Results,
    limits: Limits,
    told: Told,
    card: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Results:
    """Every cell of a group, in a process of its own; a cell in which that dies has failed, and a new one goes on."""
    results: Results = {}
    under_way: list[Cell] = []

    def hear(event: str, *content: Any) -> None:
        if event == "begins":
            under_way[:] = content
        elif event == "finished":
            cell, result = content
            under_way.clear()
            results[cell] = result
            told(cell, result)

    def failed(cell: Cell, reason: str) -> None:
        results[cell] = CellResult(cell_record(cell, len(task.job.batches[cell.batch]), reason))
        told(cell, results[cell])

    reason = ""
    for _ in range(DEATHS):
        left = [cell for cell in group.cells if cell not in results]
        work = partial(inside.compute_cells, task, left, given | results, limits.seconds, card)
        try:
            apart(work, limits, limits.seconds or BETWEEN_CELLS, hear)
            return results
        except InputError as error:  # the model was built a moment ago
            reason = f"the model cannot be built: {error}"
            break
        except Died as error:
            reason = str(error)
        if stopped():
            raise Died("stopped")
        for cell in under_way:
            failed(cell, reason)
        under_way.clear()
        if all(cell in results for cell in group.cells):
            return results
    for cell in group.cells:
        if cell not in results:
            failed(cell, f"not tried, for the model was given up: {reason}")
    return results


@dataclass
class _Spread:
    """What is known of a submission's cells, and what is under way."""

    task: Task
    pool: Pool
    limits: Limits
    progress: Progress
    known: Results = field(default_factory=dict)
    _events: queue.SimpleQueue[Callable[[], None]] = field(default_factory=queue.SimpleQueue)
    _running: int = 0

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self.task.cell_identity

    def read(self, cell: Cell) -> CellResult | None:
        return self.task.folder.cells.read(named(self.task.job, cell, self._identity))

    def compute(self, cells: Iterable[Sequence[Cell]]) -> None:
        """All cells, given by logical batch; those that are finished already are read back."""
        waiting: list[Group] = []
        for of_batch in cells:
            for cell in of_batch:
                if (result := self.read(cell)) is not None:
                    self._learn(cell, result, cached=True)
            waiting += grouped(self.task.job, of_batch)
        try:
            self._compute([group for group in waiting if any(cell not in self.known for cell in group.cells)])
        except BaseException:  # such as a full disk: the next submission waits for nothing of this one
            self.pool.abandon()
            raise

    def _compute(self, waiting: list[Group]) -> None:
        tries = {id(group): 0 for group in waiting}
        while waiting or self._running:
            for group in [of for of in waiting if all(cell in self.known for cell in of.needs)]:
                if self._running < self.pool.size:
                    waiting.remove(group)
                    self._submit(group, tries)
            if not self._running:
                raise RuntimeError(f"nothing can be computed of {[of.cells[0].label for of in waiting]}")
            self._events.get()()

    def _submit(self, group: Group, tries: dict[int, int]) -> None:
        left = replace(group, cells=tuple(cell for cell in group.cells if cell not in self.known))
        before = [cell for cell in (*group.needs, *group.cells) if cell in self.known and cell.kind != "explain"]
        given = {cell: self.known[cell] for cell in before}
        for cell in before:  # images are kept on disk alone
            if cell in group.cells and (stored := self.read(cell)) is not None:
                given[cell] = stored
        self._running += 1
        future = self.pool.submit(self.task, left, given, self.limits, self._hear)
        future.add_done_callback(lambda done: self._events.put(lambda: self._ended(group, tries, done)))

    def _hear(self, cell: Cell, result: CellResult) -> None:
        self._events.put(lambda: self._finished(cell, result))

    def _ended(self, group: Group, tries: dict[int, int], done: Future[Results]) -> None:
        self._running -= 1
        error = done.exception()
        if error is None:
            for cell, result in done.result().items():
                self._finished(cell, result)
            return
        tries[id(group)] += 1
        reason = self.pool.lost(error)
        if reason is None or tries[id(group)] >= DEATHS:
            raise getattr(error, "cause", None) or error  # Ray wraps what a task raised
        self.progress.note(f"{reason}; what it was computing is computed again")
        self._submit(group, tries)

    def _finished(self, cell: Cell, result: CellResult) -> None:
        if cell in self.known:
            return
        if result.status != "failed":
            self.task.folder.cells.write(named(self.task.job, cell, self._identity), result)
        self._learn(cell, result, cached=False)

    def _learn(self, cell: Cell, result: CellResult, cached: bool) -> None:
        self.known[cell] = replace(result, images=None)  # the group that is under way may need them
        self.progress.cell(cell.label, sum(self.task.job.passes(cell)), cached=cached)
        told(self.task.job, cell, result, self.progress)


def evaluate_spread(task: Task, pool: Pool, limits: Limits, progress: Progress) -> Outcome:
    """Compute or read back every cell of a submission on the workers of ``pool``: the tables that one worker makes."""
    job = task.job
    batches = range(len(job.batches))
    spread = _Spread(task, pool, limits, progress)
    plan = [job.cells(batch) for batch in batches]
    spread.compute(plan)
    random = any(spread.known[Cell("clean", batch)].record.get("random", False) for batch in batches)
    collected = Collected.of(spread.known, plan)
    asking = asking_of(collected, job, random, progress)
    if asking:
        more = [job.answering(batch) for batch in batches]
        spread.compute(more)
        collected = Collected.of(spread.known, [*plan, *more])
    outcome = outcome_of(collected, job, [*job.attacks, *([ADAPTIVE] if asking else [])], random)
    tell_blank(outcome.tables, progress)
    return outcome
