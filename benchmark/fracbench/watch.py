"""A limit of time for code that may hang."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Hang(RuntimeError):
    """Nothing came back in the time that was given."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise ``Hang`` inside after so many seconds.

    Works on the main thread where there are alarm signals (not on Windows), and between Python
    instructions: a loop inside compiled code is not interrupted. Elsewhere it does nothing.
    """
    if (
        seconds == math.inf
        or not hasattr(signal, "SIGALRM")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(*_: Any) -> None:
        raise Hang(f"no result after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
