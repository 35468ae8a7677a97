"""What is done with a stranger's model, in the process of its submission."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from fracbench import third_party
from fracbench.apart import PATIENCE, Tell
from fracbench.bench import Bench
from fracbench.cell_store import CellResult, Unwritable
from fracbench.cells import compute, patience
from fracbench.environment import prepare
from fracbench.errors import InputError
from fracbench.models import Guarded
from fracbench.plan import Cell
from fracbench.runner import Outcome, check_networks, evaluate_model, probe_random
from fracbench.tasks import Task
from fracbench.third_party import Sent
from fracbench.undisturbed import undisturbed

if TYPE_CHECKING:
    from fracbench.verify import Verdict

TIMINGS = 7
SLOWEST_TIMING = 2.0  # seconds: a dry run sends fewer images through a network that takes longer
BETWEEN_CELLS = 600.0  # seconds for what is done once for a run: building the model, looking at it, collecting


class Telling:
    """Progress that is told to another process."""

    def __init__(self, tell: Tell, between: float) -> None:
        self._tell, self._between = tell, between

    def cell(self, label: str, weight: int, *, cached: bool) -> None:
        self._tell(PATIENCE, self._between)
        self._tell("cell", label, weight, cached)

    def begins(self, cell: Cell, seconds: float) -> None:
        self._tell("begins", cell)
        self._tell(PATIENCE, seconds)

    def more(self, cells: int, weight: int) -> None:
        self._tell("more", cells, weight)

    def note(self, text: str) -> None:
        self._tell("note", text)


def prepared(task: Task) -> Guarded:
    """The model of a submission on a machine set up as the parent's is."""
    prepare(task.device)
    torch.set_num_threads(task.environment["threads"])
    return task.model()


def build(task: Task, tell: Tell) -> None:
    """Build the model; raises ``InputError`` for what is wrong with it."""
    prepared(task)


def evaluate(task: Task, seconds: float | None, lost: Mapping[Cell, str], tell: Tell) -> Outcome:
    """Every cell that is not finished and not lost, into the results folder."""
    progress = Telling(tell, seconds or BETWEEN_CELLS)
    try:
        return evaluate_model(
            prepared(task), task.job, task.device, folder=task.folder, identity=task.cell_identity, progress=progress,
            seconds=seconds, watched=True, lost=lost,
        )  # fmt: skip
    except Unwritable as error:
        tell("unwritable", str(error))
        raise


def compute_cells(
    task: Task,
    cells: Sequence[Cell],
    given: Mapping[Cell, CellResult],
    seconds: float | None,
    card: int | None,
    tell: Tell,
) -> None:
    """These cells of one logical batch, one after the other, each told when it is finished; ``given`` are earlier ones.

    On ``card`` of several, where it is told.
    """
    if card is not None:
        torch.cuda.set_device(card)
    model, job = prepared(task), task.job
    for result in given.values():
        model.fits(result.record)
    batch = cells[0].batch
    clean = given.get(Cell("clean", batch))
    random = probe_random(model, job, task.device) if clean is None else clean.record.get("random", False)
    unfit = check_networks(model, job, task.device, {cell.explainer for cell in cells})
    bench = Bench(job, model, batch, task.device, random, unfit, dict(given))
    for cell in cells:
        allowed = seconds or patience(bench, cell)
        tell("begins", cell)
        tell(PATIENCE, allowed)
        bench.results[cell] = compute(bench, cell, math.inf)
        tell("finished", cell, bench.results[cell])


def examine(task: Task, tell: Tell) -> None:
    """Look at the model before a long run, and tell each finding."""
    from fracbench.doctor import Doctor

    for finding in Doctor(task).findings():
        tell("finding", finding)


def verify(task: Task, run: Mapping[str, Any], cells: int, seed: int, tell: Tell) -> Verdict:
    """Compute a sample of a run's cells again."""
    from fracbench import verify as comparing

    return comparing.verify(task, run, cells, seed, tell)


def answers(task: Task, sent: Sequence[Sent], random: bool, seconds: float, tell: Tell) -> list[pd.DataFrame]:
    """The model's answers to images of third parties."""
    model, rows = prepared(task), []
    for of in sent:
        tell(PATIENCE, seconds)
        rows.append(third_party.verified(of, task.job, model, task.device, random))
    return rows


@dataclass(frozen=True)
class Estimate:
    """What ``--dry-run`` prints for one submission."""

    cells: int
    forward: int
    backward: int
    minutes: float


def estimate(task: Task, tell: Tell) -> Estimate:
    """Planned passes, and minutes from a timing of the model on this machine."""
    return timed(prepared(task), task)


def timed(model: Guarded, task: Task) -> Estimate:
    """The same with the model built; a few seconds for most networks."""
    job = task.job
    costs = [job.passes(cell) for batch in range(len(job.batches)) for cell in job.cells(batch)]
    forward, backward = sum(f for f, _ in costs), sum(b for _, b in costs)
    size = min(job.spec.logical_batch, model.micro_batch)
    try:
        first = _seconds(model, job.spec.image_size, task.device, 2, gradient=True)
        size = min(size, max(2, int(2 * SLOWEST_TIMING / first)))
        one_way, both = (_time(model, job.spec.image_size, task.device, size, gradient) for gradient in (False, True))
    except Exception as error:
        raise InputError(f"{task.entry.name}: the model fails on images: {type(error).__name__}: {error}") from error
    return Estimate(len(costs), forward, backward, ((forward - backward) * one_way + backward * both) / 60)


def _time(model: Guarded, side: int, device: str, size: int, gradient: bool) -> float:
    """Seconds an image takes: the median of a few timings, after one that warms up."""
    _seconds(model, side, device, size, gradient)
    times: list[float] = []
    while len(times) < TIMINGS and sum(times) < 2 * SLOWEST_TIMING:
        times.append(_seconds(model, side, device, size, gradient))
    return statistics.median(times) / size


def _seconds(model: Guarded, side: int, device: str, size: int, gradient: bool) -> float:
    images = torch.rand(size, 1, side, side, device=device)
    start = time.perf_counter()
    with undisturbed(model), torch.set_grad_enabled(gradient):
        given = images.requires_grad_(gradient)
        margin = model(given).sum()
        if gradient and margin.requires_grad:
            torch.autograd.grad(margin, given, allow_unused=True)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start
