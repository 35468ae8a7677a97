"""What a board costs, on paper and against three runs: ``python tests/perf/cost.py DIR``, the folder of FracAtlas.

The model: a run takes at most the passes that ``run --dry-run`` plans, each as long as in a bare loop of its network,
and leaves rows in its tables. First what it says of 1,000 submissions x 12 attacks x 20 explainers x 20,000
images; then what it says of three runs, and what they took. Nothing is asserted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record
from fracbench import registry, specs, tasks
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.environment import pick_device, prepare
from fracbench.plan import Job
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.submissions import default_dir, survey
from overhead import full, loop, run

SUBMISSIONS, IMAGES, BATCH = 1000, 20_000, 256
FRACTURED = 0.18  # the share of FracAtlas
MORE = ("apgd-ce", "apgd-margin", "fab", "square", "tenth", "eleventh", "twelfth")  # beside the five of fracatlas-v1
DATA = "DATA"
POINTS = (
    ("phantom-resnet-standard", "smoke", None, None),
    ("phantom-resnet-pgd-at", "phantom-v1", None, None),
    ("fracatlas-convnext-standard", "fracatlas-lite-v1", 32, DATA),
)
TIMED = 512  # images in the loop that tells how long a pass is
GPU = {"forward": 1 / 60_600, "backward": 1 / 20_800 - 1 / 60_600}  # of a small ResNet at 224 px, measured on an H100


@dataclass(frozen=True)
class Cost:
    """Of one submission: cells, passes of each kind, and rows of each table."""

    cells: int
    forward: int
    backward: int
    by_kind: dict[str, int]
    rows: dict[str, int]

    def times(self, factor: float) -> Cost:
        """Of so many times the images."""
        cells, forward, backward = (round(factor * n) for n in (self.cells, self.forward, self.backward))
        by_kind, rows = ({name: round(factor * n) for name, n in of.items()} for of in (self.by_kind, self.rows))
        return Cost(cells, forward, backward, by_kind, rows)

    def seconds(self, forward: float, backward: float) -> float:
        """Where a pass, and the way back, take so long for an image."""
        return self.forward * forward + self.backward * backward


def cost(job: Job) -> Cost:
    """What the plan of a job says; ``by_kind`` counts forward and backward passes together."""
    by_kind: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    forward = backward = cells = 0
    for batch, samples in enumerate(job.batches):
        marked = sum(sample.label == 1 and sample.annotated for sample in samples)
        for cell in job.cells(batch):
            ways = job.passes(cell)
            cells, forward, backward = cells + 1, forward + ways[0], backward + ways[1]
            by_kind[f"{cell.kind} {cell.explainer or cell.attack}"] += sum(ways)
            if cell.kind == "explain":
                rows["alignment"] += len(samples) if cell.attack == "clean" else marked
            elif cell.kind != "symptoms":
                rows["predictions"] += len(samples) * (len(job.rungs) if cell.kind == "ladder" else 1)
    return Cost(cells, forward, backward, dict(by_kind), dict(rows))


def large() -> Job:
    """Twelve attacks and the explainers of ``fracatlas-v1``, on one logical batch in the shares of FracAtlas."""
    for name in MORE[-3:]:
        registry.register("attacks", name)(registry.load("attacks", "pgd"))
    spec = specs.load("fracatlas-v1").model_dump(mode="json")
    spec["attacks"] += [{"name": name, "params": {"steps": 100} if name in MORE[-3:] else {}} for name in MORE]
    fractured = round(BATCH * FRACTURED)
    return resolve(BenchmarkSpec.model_validate(spec | {
        "name": "large", "dataset": {"name": "phantom", "params": {"test": 2 * BATCH}}, "given": [],
        "images": {"fractured": fractured, "normal": BATCH - fractured},
    }))  # fmt: skip


def on_paper() -> dict[str, Any]:
    of = cost(large()).times(IMAGES / BATCH)
    print(f"{SUBMISSIONS:,} submissions x 12 attacks x 20 explainers x {IMAGES:,} images")
    print(f"of each: {of.cells:,} cells, {of.forward:,} passes forward, {of.backward:,} back; rows {of.rows}")
    for kind, passes in sorted(of.by_kind.items(), key=lambda item: -item[1])[:16]:
        print(f"  {kind:<40}{passes / IMAGES:>10.0f} an image{passes / (of.forward + of.backward):>8.1%}")
    hours = of.seconds(**GPU) / 3600
    print(f"on a card that does 60,600 forward passes a second: {hours:.1f} h of each, {SUBMISSIONS * hours / 24:.0f} "
          f"days of all")  # fmt: skip
    return {**vars(of), "card_hours": hours}


def measured(name: str, benchmark: str, limit: int | None, data: str | None, device: str) -> dict[str, Any]:
    """A run, and what the model says of it."""
    job = resolve(specs.load(benchmark), data=data, limit=limit)
    (task,) = tasks.bind(survey(default_dir(), None, [name])[0], job, device)
    model, side, of = task.model(), job.spec.image_size, cost(job)
    calls = [(TIMED, False), (TIMED, True)]
    loop(model, full(calls, model.micro_batch), side, device)
    forward, both = (loop(model, full([call], model.micro_batch), side, device) / TIMED for call in calls)
    said = of.seconds(forward, max(0.0, both - forward))
    seconds, cells, sizes = run(task, model, Silent())
    spent = {way: sum(cell[way] for cell in cells) for way in ("forward", "backward")}
    found = {"submission": name, "benchmark": benchmark, "images": sum(map(len, job.batches)), "cells": of.cells,
             "ms": [1000 * forward, 1000 * both], "planned": [of.forward, of.backward], "spent": list(spent.values()),
             "said_seconds": said, "seconds": seconds, "rows": of.rows, "bytes": sizes}  # fmt: skip
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    prepare(device)
    paper = on_paper()
    points = [measured(*of, arguments.data if data else None, device) for *of, data in POINTS]
    alone = {f"{of['benchmark']}, {of['images']} images: {what}": [of[key]] for of in points
             for what, key in (("seconds by the model", "said_seconds"), ("seconds", "seconds"))}  # fmt: skip
    record.write(arguments.out, device, {}, alone, on_paper=paper, points=points)


if __name__ == "__main__":
    main()
