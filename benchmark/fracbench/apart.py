"""A function in a process of its own, under limits of memory and time: what it breaks there breaks nothing here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import psutil

from fracbench import registry
from fracbench.errors import InputError

T = TypeVar("T")
Tell = Callable[..., None]  # of the process to its parent: the name of an event and what belongs to it
Hear = Callable[..., None]

LOOK = 0.1  # seconds between looks at a process
GRACE = 2.0  # seconds beyond a limit: hearing takes a moment too
SHARE = 0.8  # of the machine's memory that a process may take unless told otherwise
GIB = 2**30
RESERVED = 4 * GIB  # of address space, beyond what a process holds: 1.6 GiB were seen on two cores
SECRET = "FRACBENCH_PRIVATE"  # variables whose names begin so are not for a process of a model
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_GROUPS = hasattr(os, "setsid")  # where a process and what it starts can be ended together
_TRACKER = "ignore:resource_tracker:UserWarning"  # that a process which was killed has left a lock behind
PATIENCE = "patience"  # the event that says for how many seconds there may be silence from now on


class Died(RuntimeError):
    """The process ended, or was ended, without an answer; the message says why."""


@dataclass(frozen=True)
class Limits:
    """``memory``: bytes a process may hold; ``seconds``: how long it may work on one thing, None for its own guess."""

    memory: int
    seconds: float | None = None


def default_memory() -> int:
    """Bytes a process may take where nothing is told: most of the machine's."""
    return int(SHARE * psutil.virtual_memory().total)


def apart(work: Callable[[Tell], T], limits: Limits, patience: float, hear: Hear) -> T:
    """What ``work`` returns, computed in another process; it and what it is bound to must be picklable.

    Work calls ``tell(event, ...)``, which ``hear`` gets here; ``tell("patience", seconds)`` moves the limit of time,
    which is ``patience`` seconds at first. ``InputError`` from within is raised as it is. Raises ``Died`` for a crash,
    a hang, too much memory, or any other exception, ``SystemExit`` among them. The process ends with this one, however
    that ends.
    """
    context = _context()
    ours, theirs = context.Pipe()
    lifeline, held = context.Pipe(duplex=False)
    arguments = (work, theirs, lifeline, limits.memory, dict(registry.registered()))
    process = context.Process(target=_inside, args=arguments, daemon=True)
    with _without_secrets():
        process.start()
    theirs.close()
    lifeline.close()
    try:
        return _watched(process, ours, limits, patience, hear)
    finally:
        _end(process)
        ours.close()
        held.close()


def start_server() -> None:
    """Let the process that others are forked from import what they need, while this one goes on."""
    if _FORKS:
        from multiprocessing import forkserver  # not on every system

        _context()
        with _without_secrets():
            forkserver.ensure_running()


@contextlib.contextmanager
def _without_secrets() -> Iterator[None]:
    """Inside, what is started does not inherit them."""
    secrets = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(SECRET)}
    try:
        yield
    finally:
        os.environ.update(secrets)


def _context() -> Any:
    """A server that has imported the heavy packages and forks from there; where there is none, a fresh interpreter."""
    if not _FORKS:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if _TRACKER not in sys.warnoptions:
        sys.warnoptions.append(_TRACKER)
    context.set_forkserver_preload(["fracbench.server"])
    return context


def _watched(process: BaseProcess, ours: Connection, limits: Limits, patience: float, hear: Hear) -> Any:
    deadline, looked = time.monotonic() + patience + GRACE, 0.0
    while True:
        now = time.monotonic()
        if now > deadline:
            raise Died(f"no result after {patience:.0f} s, so its process was stopped")
        if now - looked > LOOK:
            looked = now
            taken = _memory(process.pid)
            if taken > limits.memory:
                raise Died(
                    f"took {taken / GIB:.1f} GiB of memory, so its process was stopped; --memory allows "
                    f"{limits.memory / GIB:.1f}"
                )
        try:
            if not ours.poll(LOOK):
                if process.is_alive() or ours.poll():  # what it sent before it ended counts
                    continue
                raise EOFError  # a process it started may still hold the other end
            kind, *content = ours.recv()
        except (EOFError, ConnectionError):
            process.join(GRACE)
            raise Died(_how(process.exitcode)) from None
        if kind == "answer":
            return content[0]
        if kind == "refused":
            raise InputError(*content)
        if kind == "raised":
            raise Died(content[0])
        if kind == PATIENCE:
            patience = content[0]
        else:
            hear(kind, *content)
        deadline = time.monotonic() + patience + GRACE


def _memory(pid: int | None) -> int:
    """Bytes held by a process and those it started; 0 when it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(of.memory_info().rss for of in (process, *process.children(recursive=True)))
    return 0


def _end(process: BaseProcess) -> None:
    """End it, and what it started and did not put into a group of its own."""
    if _GROUPS and process.pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(GRACE)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        why = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"its process died of {name}{why}"
    return f"its process ended with status {code}"


def _inside(work: Callable[[Tell], Any], pipe: Connection, lifeline: Connection, memory: int, plugins: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if _GROUPS:
        os.setsid()
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _cap(memory)
    for (kind, name), factory in plugins.items():
        if name not in registry.names(kind):
            registry.register(kind, name)(factory)
    try:
        said: tuple[Any, ...] = ("answer", work(lambda *event: pipe.send(event)))
    except InputError as error:
        said = ("refused", *error.faults)
    except BaseException as error:  # a plugin may raise SystemExit
        said = ("raised", f"{type(error).__name__}: {error}")
    pipe.send(said)


def _end_with(lifeline: Connection) -> None:
    """Wait for the other end to close, which it does when the parent is gone."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os.killpg(0, signal.SIGKILL) if _GROUPS else os._exit(1)


def _cap(memory: int) -> None:
    """Let the system refuse at once what is far beyond the limit, for which the parent's looks may come too late.

    What a process reserves is more than what it holds, and libraries crash where a reservation fails, so there is room.
    """
    if sys.platform == "linux":
        import resource

        most = memory + max(RESERVED, memory // 4)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
