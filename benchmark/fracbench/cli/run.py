"""``fracbench run``: every model x attack x explainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fracbench.cli._common import (
    benchmark_option,
    data_option,
    device_option,
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
@click.option("--dry-run", is_flag=True, help="Print the plan: cells, passes, estimated minutes.")
@click.option("--ray", help="Address of a Ray cluster (not available yet).")
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
    dry_run: bool,
    ray: str | None,
) -> int:
    """Evaluate submissions: every model x attack x explainer. Repeating the command does what is missing."""
    from fracbench import specs
    from fracbench.files import cache_dir, check_writable
    from fracbench.submissions import default_dir, discover

    if bool(names) == everything:
        raise InputError("name submissions to run, or pass --all (not both)")
    if ray is not None:
        raise InputError("--ray is not available in this version; leave it out to run on this machine")
    check_writable(cache_dir(), "FRACBENCH_CACHE")
    spec = specs.load(benchmark)
    entries = discover(submissions or default_dir(), results, names)
    for entry in entries:
        if names and not entry.submission.enters(spec) and limit is None and budget == 1 and not dry_run:
            listed = ", ".join(entry.submission.benchmarks)
            raise InputError(f"{entry.name} does not enter {spec.name} (it enters {listed}); add it to its benchmarks")
    if everything:
        # a trial run ranks nobody, so it takes whoever is there
        trial = limit is not None or budget < 1
        entries = [e for e in entries if trial or e.submission.enters(spec)]
        if not entries:
            raise InputError(
                f"no submission enters {spec.name}; list it under benchmarks in a submission.yaml, or try --limit 12"
            )

    from fracbench import data as radiographs
    from fracbench import printing, tasks
    from fracbench.board import read_board
    from fracbench.environment import pick_device, prepare
    from fracbench.resolving import resolve

    device = pick_device(device)
    prepare(device)
    job = resolve(spec, data=data, split=split, limit=limit, budget=budget, metrics_backend=metrics_backend)
    todo = tasks.bind(entries, job, device)
    if dry_run:
        tasks.check(todo)
        plan = []
        for task in todo:
            click.echo(f"timing {task.entry.name} on this machine", err=True)
            plan.append((task.entry.name, tasks.estimate(task)))
        printing.print_plan(plan)
        return 0
    pending = [task for task in todo if not task.finished]
    for task in todo:
        if task not in pending:
            click.echo(f"{task.entry.name}: finished already in {task.folder.path}", err=True)
    if pending:
        models = ", ".join(task.entry.name for task in pending)
        click.echo(f"checking {sum(map(len, job.batches))} images and the models {models}", err=True)
        radiographs.check(job.dataset, job.batches, job.spec.image_size)
        tasks.check(pending)
        tasks.claim(pending)
    failures = _run_tasks(pending, job) if pending else []
    for line in failures:
        click.echo(f"failed cell: {line}", err=True)
    printing.print_board(read_board(*places(submissions, results)), spec.name)
    click.echo(f"next: fracbench leaderboard{repeated(submissions=submissions, results=results)}")
    return 1 if failures else 0


def _run_tasks(pending: list[Any], job: Any) -> list[str]:
    """Run what is not finished, with progress; a line for each failed cell."""
    from fracbench.progress import Console
    from fracbench.tasks import run_submission

    cells, weight = job.planned
    failures = []
    with Console(cells * len(pending), weight * len(pending)) as progress:
        for task in pending:
            progress.submission = task.entry.name
            for cell in run_submission(task, progress).failed:
                where = f"{cell['explainer']} on {cell['attack']}".removeprefix(" on ")
                failures.append(f"{task.entry.name}: {where}, batch {cell['batch']}: {cell['error']}")
    return failures
