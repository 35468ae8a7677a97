"""Seconds of a run against the same calls in a bare loop: ``python tests/perf/overhead.py NAME [--benchmark ...]``.

The run computes every cell of one submission into an empty folder and writes its summary, in this process. The calls
that reach its network are seen there, those that look at the model before its cells too: images, whether a gradient
came back to them, and whether the folded copy answered or the network whose layers an explainer needs. The loop repeats
the calls of each cell, at their size, before the next cell begins, so that both meet the same machine, whose speed
changes within minutes; what it takes is no part of the run's time. Times are told, nothing is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import record
import torch
from fracbench import specs, tasks
from fracbench.environment import hand_back_freed_memory, pick_device, prepare
from fracbench.models import Guarded
from fracbench.plan import Cell
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.submissions import default_dir, survey
from fracbench.tasks import Task
from fracbench.undisturbed import undisturbed
from torch import Tensor, nn
from whole_run import whole_run


class Call:
    """Images that were sent through a network together, or through its folded copy; a ``gradient`` may come later."""

    def __init__(self, n: int, quick: bool) -> None:
        self.n, self.quick, self.gradient = n, quick, False

    def comes_back(self, _: Tensor) -> None:
        self.gradient = True


class Calls(Silent):
    """Every call of a network, by the cell that makes it; by none, those that look at the model before its cells."""

    def __init__(self, network: nn.Module, quick: nn.Module | None) -> None:
        self.by_cell, self.quick = defaultdict[Cell | None, list[Call]](list), quick
        self.at: Cell | None = None
        self.hooks = [of.register_forward_pre_hook(self._called) for of in (network, quick) if of is not None]

    def begins(self, cell: Cell, seconds: float) -> None:
        self.at = cell

    def _called(self, network: nn.Module, given: tuple[Tensor, ...]) -> None:
        call = Call(len(given[0]), network is self.quick)
        self.by_cell[self.at].append(call)
        if torch.is_grad_enabled() and given[0].requires_grad:
            given[0].register_hook(call.comes_back)


class Followed(Silent):
    """A run each of whose cells is followed by its calls in a bare loop."""

    def __init__(self, model: Guarded, calls: Mapping[Cell | None, list[Call]], side: int, device: str) -> None:
        self.model, self.calls, self.device = model, calls, device
        self.images = torch.rand(model.micro_batch, 1, side, side, device=device)
        self.loops = defaultdict[str, float](float)  # seconds by kind of cell
        self.away = 0.0  # seconds that are no part of the run
        self.at: Cell | None = None

    def begins(self, cell: Cell, seconds: float) -> None:
        start = time.perf_counter()
        self.follow()
        if self.at is None or self.at.kind != cell.kind:
            hand_back_freed_memory()  # as the run has it, which shall not begin in memory of the loop's
        self.at = cell
        self.away += time.perf_counter() - start

    def follow(self) -> None:
        """Repeat the calls of the cell that has ended."""
        made = self.calls[self.at]
        self._loop(sorted(made, key=lambda call: (call.gradient, call.n))[-1:])  # asks for memory, as the run has
        self.loops[kind(self.at)] += self._loop(made)

    def _loop(self, calls: Iterable[Call]) -> float:
        model = self.model
        with undisturbed(model):
            start = time.perf_counter()
            for call in calls:
                network = model.quick if call.quick and model.quick else model.network
                given = self.images[: call.n].detach().requires_grad_(call.gradient)
                with torch.set_grad_enabled(call.gradient):
                    logits = network(given)
                if call.gradient:
                    torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), given)
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            return time.perf_counter() - start


def kind(cell: Cell | Mapping[str, Any] | None) -> str:
    if cell is None:
        return "before and between cells"
    of = cell if isinstance(cell, Mapping) else vars(cell)
    return f"{of['kind']} {of['explainer']}".strip()


def run(task: Task, model: Guarded, progress: Silent) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a run whose model is built, and the records of its cells."""
    start = time.perf_counter()
    outcome, _ = whole_run(model, task.job, task.device, task.entry_fields, progress)
    return time.perf_counter() - start, outcome.cells


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
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(arguments.rounds):
        followed = Followed(model, calls.by_cell, job.spec.image_size, device)
        seconds, cells = run(task, model, followed)
        times["ours"].append(seconds - followed.away)
        followed.follow()
        times["reference"].append(sum(followed.loops.values()))
        print({name: round(of[-1], 2) for name, of in times.items()}, flush=True)
    images = sum(map(len, job.batches))
    print(f"{arguments.name}, {arguments.benchmark}, {images} images")
    passes = {way: sum(cell[way] for cell in cells) for way in ("forward", "backward")}
    each = [call for of in calls.by_cell.values() for call in of]
    seen = {"forward": sum(call.n for call in each), "backward": sum(call.n for call in each if call.gradient)}
    print(f"passes {passes}, planned at most {job.planned[1]}; seen at the network {seen}, in {len(each)} calls")
    spent, made = defaultdict[str, float](float), defaultdict[str, list[Call]](list)
    for record_of_cell in cells:
        spent[kind(record_of_cell)] += record_of_cell["seconds"]
    for cell, of_cell in calls.by_cell.items():
        made[kind(cell)] += of_cell
    spent[kind(None)] = times["ours"][-1] - sum(spent.values())
    print(f"{'cells (the last run)':<32}{'seconds':>9}{'loop':>9}{'calls':>8}{'forward':>9}{'gradient':>9}")
    kinds = {}
    for name, seconds in sorted(spent.items(), key=lambda of: -of[1]):
        sent = [sum(call.n for call in made[name] if call.gradient == gradient) for gradient in (False, True)]
        print(f"{name:<32}{seconds:>9.2f}{followed.loops[name]:>9.2f}{len(made[name]):>8}{sent[0]:>9}{sent[1]:>9}")
        kinds[name] = {"seconds": seconds, "loop": followed.loops[name], "calls": len(made[name]), "images": sent}
    ratios = [ours / theirs for ours, theirs in zip(times["ours"], times["reference"], strict=True)]
    print(f"run / the same calls: {statistics.median(ratios):.3f} of {[round(ratio, 3) for ratio in ratios]}")
    record.write(arguments.out, device, {f"a run, {images} images / the same calls": times}, {},
                 submission=arguments.name, benchmark=arguments.benchmark, micro_batch=model.micro_batch,
                 passes=passes, planned=job.planned[1], seen=seen, cells=kinds)  # fmt: skip


if __name__ == "__main__":
    main()
