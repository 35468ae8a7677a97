"""``fracbench init``: a submission to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from fracbench.cli._common import DEFAULT, FOLDER, repeated, shown, where


@click.command("init")
@click.argument("name")
@click.option("--from", "source", metavar="SOURCE", help="timm:resnet50, another registered model, or such a name.")
@click.option(
    "--submissions", type=FOLDER, default=Path("submissions"), show_default=True, help="Folder to put it into."
)
@click.option("--benchmark", "benchmarks", multiple=True, default=(DEFAULT, "smoke"), show_default=True,
              help="Benchmark it enters; can be given again.")  # fmt: skip
@shown
def init(name: str, source: str | None, submissions: Path, benchmarks: tuple[str, ...]) -> None:
    """Write a commented submissions/NAME/submission.yaml to begin with, and what lets an editor check it.

    SOURCE is a registered model (`fracbench list models`) or, after a colon, also its architecture: timm:resnet50
    has the normalisation and input size that the pretrained weights of that architecture expect.
    """
    from fracbench.starting import begin

    file = begin(name, source, submissions, benchmarks)
    click.echo(f"wrote {file}")
    click.echo(f"next: edit it, and save the weights as {file.with_name('weights.safetensors')}; it says how")
    click.echo(f"next: fracbench validate {file.parent}")
    of = repeated(benchmark=benchmarks[0]) if DEFAULT not in benchmarks else ""
    for command in ("doctor", "run"):
        click.echo(f"next: fracbench {command} {name}{of}{where(submissions)}")
