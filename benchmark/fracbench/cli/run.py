"""``fracbench run``: every model x attack x explainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from fracbench.cli._common import (
    benchmark_option,
    cell_timeout_option,
    data_option,
    device_option,
    limits,
    memory_option,
    places,
    repeated,
    results_option,
    shown,
    split_option,
    submissions_option,
)
from fracbench.errors import InputError
from fracbench.schema import Backend


@click.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Run every submission that enters the benchmark.")
@benchmark_option
@data_option
@split_option
@device_option
@submissions_option
@results_option
@click.option("--limit", type=int, help="Only N images: a trial, marked custom and unranked.")
@click.option("--budget", type=float, default=1.0, help="Fraction of attack steps: a trial, marked custom.")
@click.option(
    "--metrics-backend",
    type=click.Choice(["fracbench", "quantus"]),
    default="fracbench",
    show_default=True,
    help="Who scores attributions; by Quantus itself is slow, and marked custom.",
)
@memory_option
@cell_timeout_option
@click.option("--dry-run", is_flag=True, help="Print the plan: cells, passes, estimated minutes.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that compute.  [default: one for each card]")
@click.option("--ray", help="Compute on a Ray cluster: its address, auto, or local for one on this machine.")
@shown
def run(
    names: tuple[str, ...],
    everything: bool,
    benchmark: str,
    data: str | None,
    split: str | None,
    device: str,
    submissions: Path | None,
    results: Path | None,
    limit: int | None,
    budget: float,
    metrics_backend: Backend,
    memory: float | None,
    cell_timeout: float | None,
    dry_run: bool,
    workers: int | None,
    ray: str | None,
) -> int:
    """Evaluate submissions: every model x attack x explainer. Repeating the command does what is missing.

    Each runs in a process of its own: a cell in which it crashes, hangs or takes too much memory has failed. With
    --all, submissions that are not as they should be are named and left out; the status is then 1.
    """
    from fracbench import specs
    from fracbench.apart import start_server
    from fracbench.files import cache_dir, check_writable
    from fracbench.submissions import default_dir, missing_files, survey

    if bool(names) == everything:
        raise InputError("name submissions to run, or pass --all (not both)")
    if ray is not None and workers is not None:
        raise InputError("pass --workers or --ray: on a cluster there are as many workers as it has room for")
    check_writable(cache_dir(), "FRACBENCH_CACHE")
    spec = specs.load(benchmark)
    left_out = _LeftOut(everything)
    entries, faults = survey(submissions or default_dir(), results, names)
    left_out.add(faults)
    # a trial run ranks nobody, so it takes whoever is there
    trial = limit is not None or budget < 1
    for entry in entries:
        if names and not entry.submission.enters(spec) and not trial and not dry_run:
            able = [name for name in specs.names() if entry.submission.enters(specs.load(name))]
            hint = f"pass --benchmark with one of {', '.join(able)}, or " if able else ""
            raise InputError(f"{entry.name} does not enter {spec.name}; {hint}add it to its benchmarks")
    if everything:
        those = [e for e in entries if e.submission.enters(spec)]
        entries = those or (entries if trial else [])
        left_out.unless(
            entries,
            f"no submission enters {spec.name}; list it under benchmarks in a submission.yaml, or try --limit 12",
        )
    faults = missing_files(entries)
    left_out.add(faults)
    entries = [entry for entry in entries if entry.name not in faults]
    left_out.unless(entries)
    start_server()

    from fracbench import data as radiographs
    from fracbench import evaluating, printing, tasks
    from fracbench.board import read_board
    from fracbench.environment import pick_device, prepare
    from fracbench.resolving import resolve

    device = pick_device(device)
    prepare(device)
    job = resolve(spec, data=data, split=split, limit=limit, budget=budget, metrics_backend=metrics_backend)
    held = limits(memory, cell_timeout)
    todo, faults = tasks.bound(entries, job, device)
    left_out.add(faults)
    if dry_run:
        plan = []
        for task in todo:
            click.echo(f"timing {task.entry.name} on this machine", err=True)
            try:
                plan.append((task.entry.name, evaluating.estimate(task, held)))
            except InputError as error:
                left_out.add({task.entry.name: error.faults})
        left_out.unless(plan)
        printing.print_plan(plan)
        return left_out.status
    done = [task for task in todo if task.finished]
    pending = [task for task in todo if task not in done]
    for task in done:
        click.echo(f"{task.entry.name}: finished already in {task.folder.path}", err=True)
    workers_of: AbstractContextManager[Any] = nullcontext()
    if pending:
        workers_of = _pool(device, workers, ray)  # before anything is written: a cluster may not be there
        models = ", ".join(task.entry.name for task in pending)
        click.echo(f"checking the models {models} and {sum(map(len, job.batches))} images", err=True)
        faults = evaluating.check(pending, held)
        left_out.add(faults)
        pending = [task for task in pending if task.entry.name not in faults]
        left_out.unless([*done, *pending])
        radiographs.check(job.dataset, job.batches, job.spec.image_size)
        faults = tasks.claim(pending)
        left_out.add(faults)
        pending = [task for task in pending if task.entry.name not in faults]
    left_out.unless([*done, *pending])
    failures: list[str] = []
    if pending:
        with workers_of as pool:
            failures = _run_tasks(pending, todo, job, held, pool)
    for line in failures:
        click.echo(f"failed: {line}", err=True)
    printing.print_board(read_board(*places(submissions, results)), spec.name)
    board = f"fracbench leaderboard{repeated(submissions=submissions, results=results)}"
    click.echo(f"next: {'the same command, which tries again what has failed; or ' if failures else ''}{board}")
    return 1 if failures else left_out.status


class _LeftOut:
    """Submissions that are not as they should be: with --all they are named and left out, else nothing is run."""

    def __init__(self, everything: bool) -> None:
        self._everything = everything
        self._faults: list[str] = []

    def add(self, faults: Mapping[str, list[str]]) -> None:
        lines = [line for of in faults.values() for line in of]
        if lines and not self._everything:
            raise InputError(*lines)
        self._faults += lines
        for line in lines:
            click.echo(f"left out: {line}", err=True)

    def unless(self, some: Sequence[object], otherwise: str = "no submission is left to run") -> None:
        if not some:
            raise InputError(otherwise)

    @property
    def status(self) -> int:
        return 1 if self._faults else 0


def _pool(device: str, workers: int | None, ray: str | None) -> AbstractContextManager[Any]:
    """Who computes: None for one process on this machine."""
    import torch

    cards = torch.cuda.device_count() if device == "cuda" else 0
    if ray is not None:
        from fracbench.on_ray import RayPool

        return RayPool(ray, torch.get_num_threads(), device.startswith("cuda"))
    size = workers or cards
    if size > 1:
        from fracbench.workers import LocalPool

        return LocalPool(size, cards)
    return nullcontext()


def _run_tasks(pending: list[Any], everyone: list[Any], job: Any, held: Any, pool: Any) -> list[str]:
    """Run what is not finished, with progress; a line for each fault, which names its cells."""
    from fracbench.evaluating import run_submission
    from fracbench.progress import Console

    cells, weight = job.planned
    lines = []
    with Console(cells * len(pending), weight * len(pending)) as progress:
        for task in pending:
            progress.submission = task.entry.name
            faults: dict[str, dict[str, list[str]]] = {}
            try:
                with task.folder.alone(partial(progress.note, f"waiting for another run of {task.entry.name}")):
                    if task.finished:
                        progress.note(f"{task.entry.name}: finished by another run")
                        continue
                    outcome = run_submission(task, held, progress, everyone, pool)
            except (InputError, OSError) as fault:  # of its files, or the disk: others go on
                lines.append(f"{task.entry.name}: {fault}; what is finished is kept: mend that and repeat the command")
                progress.stopped = True
                continue
            for cell in outcome.failed:
                where = f"{cell['explainer']} on {cell['attack']}".removeprefix(" on ")
                faults.setdefault(cell["error"], {}).setdefault(f"batch {cell['batch']}", []).append(where)
            for error, by_batch in faults.items():
                named = "; ".join(f"{batch}: {', '.join(dict.fromkeys(labels))}" for batch, labels in by_batch.items())
                lines.append(f"{task.entry.name}: {error} ({named})")
    return lines
