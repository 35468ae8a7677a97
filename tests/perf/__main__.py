"""The benchmarks, one after another: ``python tests/perf [PART ...] --data DIR``, the folder of FracAtlas.

Each prints a table of medians and writes every time as JSON into a folder named by the device (``tests/perf/cpu``).
Nothing is asserted, since times belong to a machine; what takes turns is compared with what ran beside it. All of them
take about two hours on two cores; ``--table`` prints what the files say, as docs/speed.md has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from fracbench.environment import pick_device
from record import lines

HERE = Path(__file__).resolve().parent
DATA = "DATA"  # stands for the folder of FracAtlas
FRACATLAS = ("--benchmark", "fracatlas-lite-v1", "--data", DATA, "--limit")
UNTRAINED = ("untrained-resnet18", "--submissions", str(HERE / "submissions"))
PARTS = {
    "compare": ("compare.py",),
    "forward": ("forward.py",),
    "passes": ("passes.py",),
    "overhead-phantom": ("overhead.py", "phantom-resnet-pgd-at"),
    "overhead-fracatlas": ("overhead.py", "fracatlas-convnext-standard", *FRACATLAS, "32"),
    "overhead-resnet18": ("overhead.py", *UNTRAINED, *FRACATLAS, "8"),
    "script": ("script.py", DATA),
    "memory": ("memory.py", DATA),
    "cost": ("cost.py", DATA),
    "board": ("board.py",),
}
WITH_DEVICE = ("compare.py", "passes.py", "overhead.py", "script.py", "cost.py")
HEAD = ("| | ours | reference | reference / ours | measured |", "|---|---|---|---|---|")


def table(folder: Path) -> str:
    """Every part that has been measured, as one Markdown table; in seconds unless a line says otherwise."""
    rows = [*HEAD]
    for part in PARTS:
        if (file := folder / f"{part}.json").exists():
            rows += [f"| **{part}** | | | | |", *lines(json.loads(file.read_text()))]
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--data", help="the folder of FracAtlas; without it, what needs it is left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="folder for the files")
    parser.add_argument("--table", action="store_true", help="only print what the files say")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    folder = arguments.out or HERE / device.partition(":")[0]
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"no part is called {unknown[0]}; parts are {', '.join(PARTS)}")
    for part in () if arguments.table else arguments.parts or PARTS:
        script, *given = PARTS[part]
        if DATA in given and not arguments.data:
            print(f"{part}: left out, as it needs --data DIR", flush=True)
            continue
        words = [arguments.data if word == DATA else word for word in given]
        words += ["--device", device] if script in WITH_DEVICE else []
        print(f"{part}: {script} {' '.join(words)}", flush=True)
        command = [sys.executable, HERE / script, *words, "--out", folder / f"{part}.json"]
        as_the_command_line = os.environ | {"GOMP_SPINCOUNT": "1000"}
        subprocess.run(command, check=True, env=as_the_command_line)
    print(table(folder), end="")


if __name__ == "__main__":
    main()
