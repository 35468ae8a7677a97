"""``fracbench verify``: stored scores computed again, two ways."""

from __future__ import annotations

from pathlib import Path

import click

from fracbench.cli._common import (
    benchmark_option,
    data_option,
    device_option,
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
@click.option("--cells", type=click.IntRange(1), default=4, show_default=True, help="How many cells to compute again.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which cells.")
@shown
def verify(
    name: str,
    benchmark: str,
    data: str | None,
    split: str | None,
    device: str,
    submissions: Path | None,
    results: Path | None,
    cells: int,
    seed: int,
) -> int:
    """Compute a random sample of NAME's stored scores again, by fracbench and by Quantus, and compare.

    A cell is one explainer on one logical batch of clean images. Status 1: scores differ by more than 1e-5, from what
    is stored or, with ties broken, from Quantus.
    """
    from fracbench import printing, specs, tasks
    from fracbench.environment import pick_device, prepare
    from fracbench.progress import Notes
    from fracbench.resolving import resolve
    from fracbench.submissions import default_dir, discover
    from fracbench.verify import verify as compare

    device = pick_device(device)
    prepare(device)
    job = resolve(specs.load(benchmark), data=data, split=split)
    (task,) = tasks.bind(discover(submissions or default_dir(), results, [name]), job, device)
    found = compare(task, cells, seed, Notes())
    printing.print_differences(found)
    wrong = [of.metric for of in found if not of.agrees]
    if wrong:
        click.echo(f"{name} differs in {', '.join(wrong)}; scores of another machine may, by rounding", err=True)
    return 1 if wrong else 0
