"""``fracbench doctor``: what a long run would find out too late."""

from __future__ import annotations

from pathlib import Path

import click

from fracbench.cli._common import (
    benchmark_option,
    data_option,
    device_option,
    limits,
    memory_option,
    shown,
    submissions_option,
    where,
)
from fracbench.errors import InputError


@click.command()
@click.argument("name")
@benchmark_option
@data_option
@device_option
@submissions_option
@memory_option
@shown
def doctor(
    name: str, benchmark: str, data: str | None, device: str, submissions: Path | None, memory: float | None
) -> int:
    """Look at the model of submission NAME before a long run; each line says pass, warn or fail, and what to do.

    Looks at its weights, logits, randomness, gradients, the order of the classes on a few training images, what each
    explainer finds, memory for an image, and minutes on this machine. Status 1: something fails.
    """
    from fracbench import evaluating, specs, tasks
    from fracbench.doctor import Finding
    from fracbench.environment import pick_device
    from fracbench.resolving import resolve
    from fracbench.submissions import default_dir, discover, missing_files

    device = pick_device(device)
    spec = specs.load(benchmark)
    folder = submissions or default_dir()
    entries = discover(folder, None, [name])
    if faults := missing_files(entries):
        raise InputError(*faults[name])
    job = resolve(spec, data=data)
    (task,) = tasks.bind(entries, job, device)
    failed = False

    def show(finding: Finding) -> None:
        nonlocal failed
        failed |= finding.status == "fail"
        click.echo(f"{finding.status}  {finding.what}: {finding.says}")

    evaluating.examine(task, limits(memory, None), show)
    if spec.name not in task.entry.submission.benchmarks:
        click.echo(f"warn  benchmarks: it does not enter {spec.name}; add it to benchmarks to be ranked there")
    if not failed:
        chosen = "" if benchmark == "phantom-v1" else f" --benchmark {benchmark}"
        click.echo(f"next: fracbench run {name}{chosen}{where(folder)}")
    return 1 if failed else 0
