"""Seconds of a run against a bare loop of the same passes: ``python tests/perf/overhead.py NAME [--benchmark ...]``.

The run computes every cell of one submission into an empty folder and writes its summary, in this process. The calls
that reach its network are counted: images, with or without a gradient, and whether the folded copy answered or the
network whose layers an explainer needs. ``the same calls`` repeats them on the bare network, forward, or forward and
back to the image; ``bare loop`` sends as many images in full micro-batches, which an attack that goes step by step
cannot fill where few images are left. The two follow each cell before the next begins, so that all three meet the same
machine, whose speed changes within minutes; what they take is no part of the run's time. Times are told, nothing is
asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter, defaultdict
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

LOOPS = ("bare loop", "the same calls")
Call = tuple[int, bool, bool]  # images of a call, whether a gradient is taken, and whether of the folded copy


class Calls(Silent):
    """Every call of a network, by the cell that makes it; by none, those that look at the model before its cells."""

    def __init__(self, network: nn.Module, quick: nn.Module | None) -> None:
        self.by_cell, self.quick = defaultdict[Cell | None, list[Call]](list), quick
        self.at: Cell | None = None
        self.hooks = [of.register_forward_pre_hook(self._called) for of in (network, quick) if of is not None]

    def begins(self, cell: Cell, seconds: float) -> None:
        self.at = cell

    def _called(self, network: nn.Module, given: tuple[Tensor, ...]) -> None:
        gradient = torch.is_grad_enabled() and given[0].requires_grad
        self.by_cell[self.at].append((len(given[0]), gradient, network is self.quick))


class Turns(Silent):
    """After each cell its calls in bare loops: seconds of ``loops`` by kind of cell, and ``away`` from the run."""

    def __init__(self, model: Guarded, calls: Mapping[Cell | None, list[Call]], side: int, device: str) -> None:
        self.model, self.calls, self.device = model, calls, device
        self.images = torch.rand(model.micro_batch, 1, side, side, device=device)
        self.loops = {name: defaultdict[str, float](float) for name in LOOPS}
        self.away = 0.0
        self.at: Cell | None = None

    def begins(self, cell: Cell | None, seconds: float) -> None:
        start = time.perf_counter()
        made = self.calls[self.at]
        self._loop(sorted(made)[-1:])  # memory that the run has handed back is asked for anew
        self.loops["the same calls"][kind(self.at)] += self._loop(made)
        self.loops["bare loop"][kind(self.at)] += self._loop(full(made, self.model.micro_batch))
        if self.at and cell and self.at.kind != cell.kind:
            hand_back_freed_memory()  # as the run has it
        self.at = cell
        self.away += time.perf_counter() - start

    def _loop(self, calls: Iterable[Call]) -> float:
        model = self.model
        with undisturbed(model):
            start = time.perf_counter()
            for n, gradient, quick in calls:
                network = model.quick if quick and model.quick else model.network
                given = self.images[:n].detach().requires_grad_(gradient)
                with torch.set_grad_enabled(gradient):
                    logits = network(given)
                if gradient:
                    torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), given)
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            return time.perf_counter() - start


def kind(cell: Cell | Mapping[str, Any] | None) -> str:
    if cell is None:
        return "before the cells"
    of = cell if isinstance(cell, Mapping) else vars(cell)
    return f"{of['kind']} {of['explainer']}".strip()


def run(task: Task, model: Guarded, progress: Silent) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a run whose model is built, and the records of its cells."""
    start = time.perf_counter()
    outcome, _ = whole_run(model, task.job, task.device, task.entry_fields, progress)
    return time.perf_counter() - start, outcome.cells


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
    times: dict[str, list[float]] = {"run": [], **{name: [] for name in LOOPS}}
    for _ in range(arguments.rounds):
        turns = Turns(model, calls.by_cell, job.spec.image_size, device)
        seconds, cells = run(task, model, turns)
        turns.begins(None, 0)  # the loops of the last cell, which are in no time of the run
        times["run"].append(seconds - turns.away)
        for name, of in turns.loops.items():
            times[name].append(sum(of.values()))
        print({name: round(of[-1], 2) for name, of in times.items()}, flush=True)
    images = sum(map(len, job.batches))
    print(f"{arguments.name}, {arguments.benchmark}, {images} images")
    passes = {way: sum(cell[way] for cell in cells) for way in ("forward", "backward")}
    each = [call for of in calls.by_cell.values() for call in of]
    inside = {"forward": sum(n for n, _, _ in each), "backward": sum(n for n, gradient, _ in each if gradient)}
    print(f"passes {passes}, planned at most {job.planned[1]}; seen at the network {inside}, in {len(each)} calls")
    spent, made = defaultdict[str, float](float), defaultdict[str, list[Call]](list)
    for record_of_cell in cells:
        spent[kind(record_of_cell)] += record_of_cell["seconds"]
    for cell, of_cell in calls.by_cell.items():
        made[kind(cell)] += of_cell
    print(f"{'cells (the last run)':<32}{'seconds':>9}{'by call':>9}{'calls':>8}{'forward':>9}{'gradient':>9}")
    kinds = {}
    for name in sorted({*spent, *made}, key=lambda name: -spent[name]):
        seconds = spent[name]  # before the cells: told below, with what is between them
        bare = turns.loops["the same calls"][name]
        sent = [sum(n for n, of, _ in made[name] if of == gradient) for gradient in (False, True)]
        print(f"{name:<32}{seconds:>9.2f}{bare:>9.2f}{len(made[name]):>8}{sent[0]:>9}{sent[1]:>9}")
        kinds[name] = {"seconds": seconds, "by call": bare, "calls": len(made[name]), "images": sent}
    between = times["run"][-1] - sum(spent.values())
    print(f"{'all cells':<32}{sum(spent.values()):>9.2f}; before and between them, tables and summary: {between:.2f}")
    ratios = [ours / theirs for ours, theirs in zip(times["run"], times["the same calls"], strict=True)]
    print(f"run / the same calls: {statistics.median(ratios):.3f} of {[round(ratio, 3) for ratio in ratios]}")
    pairs = {f"a run, {images} images / {name}": {"ours": times["run"], "reference": times[name]} for name in LOOPS}
    record.write(arguments.out, device, pairs, {}, submission=arguments.name, benchmark=arguments.benchmark,
                 micro_batch=model.micro_batch, passes=passes, planned=job.planned[1], inside=inside, cells=kinds,
                 between=between)  # fmt: skip


if __name__ == "__main__":
    main()
