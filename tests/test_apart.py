"""A function in another process: what it may do there, and what comes of it here."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fracbench.apart import GIB, PATIENCE, Died, Limits, _watched, apart, default_memory
from fracbench.errors import InputError

ROOM = Limits(memory=2 * GIB)


def ignore(*_: Any) -> None:
    pass


def add(one: int, other: int, tell: Any) -> int:
    tell("note", f"adding in {os.getpid()}")
    return one + other


def refuse(tell: Any) -> None:
    raise InputError("first fault", "second fault")


def end(how: str, tell: Any) -> None:
    if how == "abort":
        os.abort()
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        sys.exit(0)
    if how == "os exit":
        os._exit(7)
    raise ZeroDivisionError("by nothing")


def sleep(seconds: float, deaf: bool, tell: Any) -> str:
    if deaf:  # to the alarm of Python
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    time.sleep(seconds)
    return "rested"


def work_on(tell: Any) -> str:
    for _ in range(3):
        tell(PATIENCE, 1.0)
        time.sleep(0.5)
    return "whole"


def grow(tell: Any) -> None:
    held = []
    while True:
        held.append(np.ones(2**24))


def grow_at_once(tell: Any) -> None:
    np.ones(2**36)


def grow_by_children(tell: Any) -> None:
    code = "import time, numpy; held = numpy.ones(5 * 2**24); time.sleep(60)"  # 0.6 GiB each
    for child in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]:
        child.wait()


def leave_a_child(tell: Any) -> int:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    tell("child", child.pid)
    time.sleep(0.3)
    os._exit(3)


def gone(pid: int) -> bool:
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_it_is_another_process_that_answers_and_tells() -> None:
    heard: list[tuple[Any, ...]] = []
    assert apart(partial(add, 2, 3), ROOM, 30, lambda *event: heard.append(event)) == 5
    ((kind, text),) = heard
    assert kind == "note" and text.startswith("adding in ") and text != f"adding in {os.getpid()}"
    assert gone(int(text.split()[-1]))


def test_wrong_input_is_told_as_it_would_be_here() -> None:
    with pytest.raises(InputError) as caught:
        apart(refuse, ROOM, 30, ignore)
    assert caught.value.faults == ["first fault", "second fault"]


@pytest.mark.parametrize(
    "how, says",
    [
        ("abort", "its process died of SIGABRT"),
        ("segfault", "its process died of SIGSEGV"),
        ("exit", "SystemExit: 0"),
        ("os exit", "its process ended with status 7"),
        ("raise", "ZeroDivisionError: by nothing"),
    ],
)
def test_whatever_ends_it_is_one_sentence_here(how: str, says: str) -> None:
    with pytest.raises(Died, match=says):
        apart(partial(end, how), ROOM, 30, ignore)


@pytest.mark.parametrize("deaf", [False, True])
def test_it_is_stopped_when_nothing_is_heard_in_time(deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracbench.apart.GRACE", 0.5)
    began = time.monotonic()
    with pytest.raises(Died, match="no result after 1 s, so its process was stopped"):
        apart(partial(sleep, 60, deaf), ROOM, 1, ignore)
    assert time.monotonic() - began < 30


def test_each_step_may_ask_for_its_own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracbench.apart.GRACE", 0.2)
    assert apart(work_on, ROOM, 30, ignore) == "whole"


@pytest.mark.parametrize(
    "work, says",
    [
        (grow, r"took \d\.\d GiB of memory, so its process was stopped; --memory allows 1\.5"),
        (grow_at_once, "MemoryError"),
        (grow_by_children, r"took \d\.\d GiB of memory, so its process was stopped; --memory allows 1\.5"),
    ],
)
def test_it_is_refused_or_stopped_before_it_takes_all_memory(work: Any, says: str) -> None:
    with pytest.raises(Died, match=says):
        apart(work, Limits(memory=3 * GIB // 2), 60, ignore)
    assert 0 < default_memory() < psutil.virtual_memory().total


def test_what_it_started_does_not_outlive_it() -> None:
    children: list[int] = []
    with pytest.raises(Died, match="status 3"):
        apart(leave_a_child, ROOM, 30, lambda _, pid: children.append(pid))
    assert gone(children[0])


def in_another(code: str) -> subprocess.Popen[str]:
    """An interpreter that has no server yet, and knows this file as ``t``."""
    begin = "import sys; sys.path.insert(0, sys.argv[1]); from functools import partial; import test_apart as t;"
    arguments = [sys.executable, "-c", begin + code, str(Path(__file__).parent)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux tells what a process began with")
@pytest.mark.parametrize("early", ["start_server()", pytest.param("None", marks=pytest.mark.slow)])
def test_secrets_are_not_in_what_the_processes_of_models_began_with(early: str) -> None:
    code = (
        "import os; os.environ |= {'FRACBENCH_PRIVATE_SEED': 'hush', 'FRACBENCH_ANY': 'seen'};"
        f"from fracbench.apart import start_server; {early};"
        "print(os.environ['FRACBENCH_PRIVATE_SEED'], t.apart(t.began_with, t.ROOM, 60, t.ignore))"
    )
    told = in_another(code).communicate()[0]
    assert told.startswith("hush") and "seen" in told and told.count("hush") == 1


def began_with(_: Any) -> str:
    return str(Path("/proc/self/environ").read_bytes()) + str(dict(os.environ))


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed() -> None:
    parent = in_another(
        "t.apart(partial(t.sleep_telling, 600), t.ROOM, 600, lambda *event: print(event[1], flush=True))"
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    assert gone(child)


def sleep_telling(seconds: float, tell: Any) -> None:
    tell("pid", os.getpid())
    time.sleep(seconds)


def test_an_answer_sent_between_two_looks_counts_though_its_process_has_ended() -> None:
    ours, theirs = Pipe()

    class Ended:
        """Sends its answer just after it was looked for, and ends."""

        pid, exitcode = None, 0  # None is this process, which holds what other tests have left

        def is_alive(self) -> bool:
            theirs.send(("answer", 7))
            theirs.close()
            return False

    assert _watched(Ended(), ours, replace(ROOM, memory=2**60), 60, ignore) == 7  # type: ignore[arg-type]
