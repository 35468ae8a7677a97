"""Kill a run again and again at random moments: ``python tests/soak.py [NAME] [--kills 50]``.

An undisturbed run comes first. Then the same command is started for another folder, and it or a worker of its is ended
with SIGKILL after a random share of the time the undisturbed run took, over and over; a run that comes to its end
between two kills is compared with the undisturbed one and begun anew. At last the command runs until all is done: its
tables must be those of the undisturbed run, and its record too, times aside.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from fracbench.store import TABLES

TIMES = {"seconds", "finished", "seal"}  # times and timestamps, and what signs them


def same_rows(one: Path, other: Path) -> None:
    """Two results folders hold the same tables and, times aside, the same record."""
    for name in TABLES:
        tables = [pd.read_parquet(folder / f"{name}.parquet") for folder in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    records = [json.loads((folder / "run.json").read_text()) for folder in (one, other)]
    assert _timeless(records[0]) == _timeless(records[1])


def _timeless(of: Any) -> Any:
    if isinstance(of, dict):
        return {key: _timeless(value) for key, value in of.items() if key not in TIMES}
    return [_timeless(value) for value in of] if isinstance(of, list) else of


def soak(
    start: Callable[[], subprocess.Popen[str]],
    folder: Path,
    undisturbed: Path,
    kills: int,
    longest: float,
    rng: random.Random,
    tell: Callable[[str], None] = lambda _: None,
) -> Counter[str]:
    """Kill so many times, then let it end; who was killed how often. ``folder`` is where the command's results go."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        process = start()
        deadline = time.monotonic() + rng.uniform(0, longest)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        who = _kill(process, rng) if process.poll() is None else None
        _, err = process.communicate()
        if who:
            killed[who] += 1
            assert "Traceback" not in err, err
        elif process.returncode == 0:
            same_rows(folder, undisturbed)
            shutil.rmtree(folder)
        cells = len(list(folder.glob("cells/*.zip")))
        tell(f"{killed.total()} kills ({who or 'came to its end'}), exit {process.returncode}, {cells} cells are kept")
    for _ in range(2):  # a worker that was killed leaves a failed cell, which the next run computes
        process = start()
        _, err = process.communicate()
        if not process.returncode:
            break
    assert process.returncode == 0, err
    assert not list(folder.glob("cells/*.zip")), "finished cells move into the tables"
    same_rows(folder, undisturbed)
    return killed


def _kill(process: subprocess.Popen[str], rng: random.Random) -> str | None:
    """End the runner or one of the processes it has started; what it was."""
    try:
        runner = psutil.Process(process.pid)
        workers = [of for of in runner.children(recursive=True) if of.memory_info().rss > 2**27]
        victim = rng.choice([runner, *workers[-1:]])
        victim.kill()
        return "the runner" if victim.pid == process.pid else "a worker"
    except psutil.NoSuchProcess:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="phantom-resnet-standard")
    parser.add_argument("--benchmark", default="smoke")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = [sys.executable, "-m", "fracbench", "run", arguments.name, "--benchmark", arguments.benchmark]
    run += ["--workers", str(arguments.workers)] if arguments.workers > 1 else []
    with tempfile.TemporaryDirectory() as temporary:

        def start(results: str = "killed") -> subprocess.Popen[str]:
            command = [*run, "--results", f"{temporary}/{results}"]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        began = time.monotonic()
        process = start("undisturbed")
        _, err = process.communicate()
        assert process.returncode == 0, err
        longest = time.monotonic() - began
        print(f"undisturbed: {longest:.0f} s", flush=True)
        folders = [
            Path(temporary) / place / arguments.name / arguments.benchmark for place in ("killed", "undisturbed")
        ]
        rng = random.Random(arguments.seed)
        killed = soak(start, *folders, arguments.kills, longest, rng, lambda line: print(line, flush=True))
    print(f"killed: {dict(killed)}; rows and record are those of the undisturbed run")


if __name__ == "__main__":
    main()
