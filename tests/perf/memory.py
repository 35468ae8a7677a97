"""Peak memory of runs on ever more images: ``python tests/perf/memory.py DIR``, the folder of FracAtlas.

FGSM and saliency on 100, 1,000 and 3,700 radiographs of 64 x 64 by an untrained network; each run, with its tables and
summary, in a process of its own. The peak is the most that the process has held at a time. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import record
import torch
from fracbench import registry
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.environment import prepare
from fracbench.models import guard
from fracbench.plan import Job
from fracbench.resolving import resolve
from whole_run import whole_run

IMAGES, SIDE = (100, 1000, 3700), 64
FRACTURED = 0.16  # of the images, about as in the whole set


def job(data: str, images: int) -> Job:
    everything = {"name": "fracatlas", "params": {"fractions": [0.0005, 0.0005, 0.999]}}
    fractured = round(FRACTURED * images)
    return resolve(BenchmarkSpec.model_validate({
        "name": "memory", "title": "memory", "dataset": everything, "image_size": SIDE, "logical_batch": 64,
        "images": {"fractured": fractured, "normal": images - fractured}, "attacks": [{"name": "fgsm"}],
        "threat": {"norm": "linf", "epsilon": "1/255"}, "explainers": [{"name": "saliency"}], "panel": ["saliency"],
        "metrics": ["pointing_game", "relevance_rank_accuracy"],
    }), data=data)  # fmt: skip


def run(data: str, images: int) -> None:
    """Print seconds and the peak in MiB."""
    prepare("cpu")
    of, start = job(data, images), time.perf_counter()
    torch.manual_seed(0)
    model = guard(registry.make("models", "timm", {"architecture": "resnet18", "image_size": SIDE}).eval(), SIDE)
    outcome, _ = whole_run(model, of, "cpu")
    assert len(outcome.tables["images"]) == images
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, help="only this many, in this process")
    parser.add_argument("--out", type=Path, help="JSON file for every peak")
    arguments = parser.parse_args()
    if arguments.images:
        run(arguments.data, arguments.images)
        return
    job(arguments.data, IMAGES[0])  # what is computed once for a dataset is in the cache from here on
    found: dict[str, list[float]] = {}
    for images in IMAGES:
        command = [sys.executable, __file__, arguments.data, "--images", str(images)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        found[f"peak of {images:,} images, MiB"] = [peak]
        print(f"{images} images: {seconds:.0f} s, {peak:.0f} MiB", flush=True)
    record.write(arguments.out, "cpu", {}, found)


if __name__ == "__main__":
    main()
