"""``fracbench verify``: stored cells computed again."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from fracbench.cli._common import (
    benchmark_option,
    data_option,
    device_option,
    limits,
    memory_option,
    repeated,
    results_option,
    shown,
    split_option,
    submissions_option,
)


@click.command()
@click.argument("name")
@benchmark_option
@data_option
@split_option
@device_option
@submissions_option
@results_option
@memory_option
@click.option("--cells", type=click.IntRange(1), default=4, show_default=True, help="How many cells to compute again.")
@click.option("--seed", type=int, help="Which cells.  [default: others each time]")
@shown
def verify(
    name: str,
    benchmark: str,
    data: str | None,
    split: str | None,
    device: str,
    submissions: Path | None,
    results: Path | None,
    memory: float | None,
    cells: int,
    seed: int | None,
) -> int:
    """Compute a random sample of NAME's stored cells again, and stamp its row as verified where all agrees.

    Half of the cells predict or attack, half explain; scores are compared with what is stored and with Quantus. Where
    accuracy, recrafted, differs by over two points, or another answer or score does, it says where; status 1.
    """
    from fracbench import evaluating, printing, specs, tasks
    from fracbench.environment import pick_device, prepare
    from fracbench.errors import printable
    from fracbench.resolving import resolve
    from fracbench.submissions import default_dir, discover

    device = pick_device(device)
    prepare(device)
    job = resolve(specs.load(benchmark), data=data, split=split)
    (task,) = tasks.bind(discover(submissions or default_dir(), results, [name]), job, device)
    options = repeated(benchmark=benchmark, data=data, split=split, submissions=submissions, results=results)
    seed = secrets.randbelow(2**31) if seed is None else seed  # what is looked at must not be known beforehand
    held, again = limits(memory, None), f"fracbench run {name}{options}"
    verdict = evaluating.verify(task, cells, seed, held, again, lambda text: click.echo(text, err=True))
    printing.print_verdict(verdict)
    if verdict.wrong:
        click.echo(printable(f"{name} differs: {'; '.join(verdict.wrong)}"), err=True)
        return 1
    click.echo(f"verified: {name}, {len(verdict.cells)} cells; more with --cells, others with --seed")
    click.echo(f"next: fracbench leaderboard{repeated(submissions=submissions, results=results)}")
    return 0
