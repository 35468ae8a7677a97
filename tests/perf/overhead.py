"""Seconds of a run against a bare loop of the same passes: ``python tests/perf/overhead.py NAME [--benchmark ...]``.

The run computes every cell of one submission into an empty folder and writes its summary, in this process. The calls
that reach its network are counted: images, with or without a gradient, and whether the folded copy answered or the
network whose layers an explainer needs. The rival sends as many images through the same of the two in loops of the
micro-batch: forward, or forward and back to the image. ``by call`` replays the very calls instead, which are smaller
where few images are left. Runs and loops take turns; times are told, nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import record
import torch
from fracbench import specs, tasks
from fracbench.environment import pick_device, prepare
from fracbench.models import Guarded
from fracbench.plan import Cell
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.submissions import default_dir, survey
from fracbench.tasks import Task
from fracbench.undisturbed import undisturbed
from torch import Tensor, nn
from whole_run import whole_run

Call = tuple[int, bool, bool]  # images of a call, whether a gradient is taken, and whether of the folded copy


class Calls(Silent):
    """Every call of a network, by the kind of cell that makes it."""

    def __init__(self, network: nn.Module, quick: nn.Module | None) -> None:
        self.kind, self.by_kind, self.quick = "before", defaultdict[str, list[Call]](list), quick
        self.hooks = [of.register_forward_pre_hook(self._called) for of in (network, quick) if of is not None]

    def begins(self, cell: Cell, seconds: float) -> None:
        self.kind = f"{cell.kind} {cell.explainer}".strip()

    def _called(self, network: nn.Module, given: tuple[Tensor, ...]) -> None:
        gradient = torch.is_grad_enabled() and given[0].requires_grad
        self.by_kind[self.kind].append((len(given[0]), gradient, network is self.quick))


def run(task: Task, model: Guarded, progress: Silent) -> tuple[float, list[dict[str, Any]], dict[str, int]]:
    """Seconds of a run whose model is built; the records of its cells, and the bytes of its files."""
    start = time.perf_counter()
    outcome, sizes = whole_run(model, task.job, task.device, task.entry_fields, progress)
    return time.perf_counter() - start, outcome.cells, sizes


def loop(model: Guarded, calls: Iterable[Call], side: int, device: str) -> float:
    """Seconds of these calls of the bare network on images that are already there."""
    images = torch.rand(model.micro_batch, 1, side, side, device=device)
    with undisturbed(model):
        start = time.perf_counter()
        for n, gradient, quick in calls:
            network = model.quick if quick and model.quick else model.network
            given = images[:n].detach().requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                logits = network(given)
            if gradient:
                torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), given)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - start


def full(calls: Iterable[Call], size: int) -> list[Call]:
    """As many images in calls of ``size``."""
    images = Counter[tuple[bool, bool]]()
    for n, gradient, quick in calls:
        images[gradient, quick] += n
    return [(min(size, n - at), *way) for way, n in images.items() for at in range(0, n, size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--benchmark", default="phantom-v1")
    parser.add_argument("--submissions", type=Path, help="where it lies; among the starters unless given")
    parser.add_argument("--data")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, help="only N images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for every time")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    prepare(device)
    job = resolve(specs.load(arguments.benchmark), data=arguments.data, limit=arguments.limit)
    entries, _ = survey(arguments.submissions or default_dir(), None, [arguments.name])
    (task,) = tasks.bind(entries, job, device)
    model = task.model()
    calls = Calls(model.network, model.quick)
    run(task, model, calls)  # warms up, and tells the calls
    for hook in calls.hooks:
        hook.remove()
    del calls.by_kind["before"]
    each = [call for of in calls.by_kind.values() for call in of]
    times: dict[str, list[float]] = {"run": [], "loop": [], "by call": []}
    for _ in range(arguments.rounds):
        seconds, cells, _ = run(task, model, Silent())
        times["run"].append(seconds)
        times["loop"].append(loop(model, full(each, model.micro_batch), job.spec.image_size, device))
        times["by call"].append(loop(model, each, job.spec.image_size, device))
        print({name: round(of[-1], 2) for name, of in times.items()}, flush=True)
    images = sum(map(len, job.batches))
    print(f"{arguments.name}, {arguments.benchmark}, {images} images")
    passes = {way: sum(cell[way] for cell in cells) for way in ("forward", "backward")}
    print(f"passes {passes}, planned at most {job.planned[1]}; in {len(each)} calls")
    spent = defaultdict[str, float](float)
    for cell in cells:
        spent[f"{cell['kind']} {cell['explainer']}".strip()] += cell["seconds"]
    print(f"{'cells (the last run)':<32}{'seconds':>9}{'by call':>9}{'calls':>8}{'forward':>9}{'gradient':>9}")
    kinds = {}
    for kind, seconds in sorted(spent.items(), key=lambda of: -of[1]):
        made = calls.by_kind.get(kind, [])
        bare = loop(model, made, job.spec.image_size, device)
        sent = [sum(n for n, of, _ in made if of == gradient) for gradient in (False, True)]
        print(f"{kind:<32}{seconds:>9.2f}{bare:>9.2f}{len(made):>8}{sent[0]:>9}{sent[1]:>9}")
        kinds[kind] = {"seconds": seconds, "by call": bare, "calls": len(made), "images": sent}
    print(f"{'all cells':<32}{sum(spent.values()):>9.2f}; what is between them, tables and summary: "
          f"{times['run'][-1] - sum(spent.values()):.2f}")  # fmt: skip
    pairs = {
        f"a run, {images} images / bare loop": {"ours": times["run"], "reference": times["loop"]},
        f"a run, {images} images / the same calls": {"ours": times["run"], "reference": times["by call"]},
    }
    record.write(arguments.out, device, pairs, {}, submission=arguments.name, benchmark=arguments.benchmark,
                 micro_batch=model.micro_batch, passes=passes, planned=job.planned[1], cells=kinds)  # fmt: skip


if __name__ == "__main__":
    main()
