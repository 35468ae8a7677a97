"""What users see while a run goes on: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from fracbench.plan import Cell


class Progress(Protocol):
    """Told of every cell before it runs; ``weight`` is the cell's planned passes."""

    def cell(self, label: str, weight: int, *, cached: bool) -> None: ...

    def begins(self, cell: Cell, seconds: float) -> None:
        """Told of a cell that has to be computed, and how long it may take."""

    def more(self, cells: int, weight: int) -> None:
        """Told of cells that no plan foresaw."""

    def note(self, text: str) -> None: ...


class Silent:
    def cell(self, label: str, weight: int, *, cached: bool) -> None:
        pass

    def begins(self, cell: Cell, seconds: float) -> None:
        pass

    def more(self, cells: int, weight: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Notes(Silent):
    """Notes alone, for work that is short."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Clock:
    """Time left, from the share of planned passes done; cells read back from disk tell nothing of speed."""

    def __init__(self, total_weight: int) -> None:
        self.left = total_weight
        self._spent, self._seconds = 0, 0.0
        self._running: int | None = None  # weight of the cell under way; None for one read back
        self._since = time.monotonic()

    def next(self, weight: int, cached: bool) -> None:
        now = time.monotonic()
        if self._running is not None:
            self._spent += self._running
            self._seconds += now - self._since
        self.left -= weight
        self._running, self._since = (None if cached else weight), now

    def remaining(self) -> str:
        if not self._spent:
            return "estimating"
        return _left(self._seconds / self._spent * (self.left + (self._running or 0)))


def _left(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d} left"


class Console:
    """Progress over all cells of a run: cells done of all, the current cell, time left."""

    def __init__(self, cells: int, weight: int, *, submission: str = "", live: bool | None = None) -> None:
        self.cells, self.done = cells, -1
        self.stopped = False  # set it where a submission ends before its cells do
        self.submission = submission
        self._clock = Clock(weight)
        self._live = sys.stderr.isatty() if live is None else live
        self._bar: Any = None
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as RichProgress

            columns = (MofNCompleteColumn(), TextColumn("cells"), BarColumn(), TextColumn("{task.fields[left]}"),
                       TextColumn("{task.description}", markup=False))  # fmt: skip
            self._bar = RichProgress(*columns, console=RichConsole(stderr=True))
            self._task = self._bar.add_task("", total=self.cells, left="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.done = self.done - 1 if self.stopped else self.cells - 1
            self._show("stopped" if self.stopped else "done", force=True)
        if self._bar:
            self._bar.stop()

    def cell(self, label: str, weight: int, *, cached: bool) -> None:
        self._clock.next(weight, cached)
        self._show(f"{self.submission}: {label}")

    def begins(self, cell: Cell, seconds: float) -> None:
        pass

    def more(self, cells: int, weight: int) -> None:
        self.cells += cells
        self._clock.left += weight
        if self._bar:
            self._bar.update(self._task, total=self.cells)

    def _show(self, text: str, force: bool = False) -> None:
        self.done += 1
        left = self._clock.remaining()
        if self._bar:
            self._bar.update(self._task, completed=self.done, description=text, left=left)
        elif force or time.monotonic() - self._last_line > 5:
            self._last_line = time.monotonic()
            print(f"{self.done}/{self.cells} cells, {left}: {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


class Transfer:
    """Progress of one download: call it with the bytes that are there of ``total``."""

    def __init__(self, label: str, total: int, *, live: bool | None = None) -> None:
        self.label, self.total = label, total
        self._live = sys.stderr.isatty() if live is None else live
        self._bar: Any = None
        self._began: tuple[float, int] | None = None  # when, and bytes that were there then
        self._last_line = -math.inf

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(binary_units=False),
                       TimeRemainingColumn())  # fmt: skip
            self._bar = RichProgress(*columns, console=RichConsole(stderr=True))
            self._task = self._bar.add_task(self.label, total=self.total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        began, at_first = self._began = self._began or (now, done)
        if self._bar:
            self._bar.update(self._task, completed=done)
        elif done == self.total or now - self._last_line > 5:
            self._last_line = now
            fresh = done - at_first
            left = _left((now - began) / fresh * (self.total - done)) if fresh > 0 else "estimating"
            print(f"{self.label}: {done / 1e6:.1f} of {self.total / 1e6:.1f} MB, {left}", file=sys.stderr, flush=True)
