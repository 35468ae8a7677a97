"""Fail unless every starter that is no control is ranked with a finite headline, both factors, n and intervals."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from fracbench.store import ResultFolder
from fracbench.submissions import discover


def faults(name: str, results: Path, spec: str) -> list[str]:
    folder = ResultFolder(results / name / spec, name, spec)
    summary = folder.summary()
    if summary is None:
        return [f"{name}: no summary in {folder.path}"]
    found = [] if summary["ranked"] else [f"{name}: not ranked: {summary['unranked_because']}"]
    scores = {"headline": summary["headline"], **summary["factors"]}
    for key, score in scores.items():
        numbers = [score["low"], score["value"], score["high"]]
        if any(number is None or not math.isfinite(number) for number in numbers) or numbers != sorted(numbers):
            found.append(f"{name}: {key} is {score}")
        if key != "headline" and not score["n"] > 0:
            found.append(f"{name}: {key} has n = {score['n']}")
    return found


def main(submissions: Path, results: Path, spec: str) -> int:
    entered = [e for e in discover(submissions, None) if not e.submission.control and spec in e.submission.benchmarks]
    found = [fault for entry in entered for fault in faults(entry.name, results, spec)]
    if len(entered) < 2:
        found.append(f"only {len(entered)} starters enter {spec}; a standard and a robust twin are the least")
    print("\n".join(found) or f"{spec}: {len(entered)} starters ranked")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
