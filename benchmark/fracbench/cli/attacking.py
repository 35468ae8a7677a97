"""``fracbench attack``: images to attack elsewhere, and adversarial images to be verified here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fracbench.cli._common import (
    benchmark_option,
    data_option,
    device_option,
    limits,
    repeated,
    results_option,
    shown,
    split_option,
    submissions_option,
)
from fracbench.errors import InputError

FILE = click.Path(path_type=Path)


@click.group()
def attack() -> None:
    """Attack a submission with tools of your own: get the images, send adversarial ones."""


@attack.command()
@click.argument("file", type=FILE)
@benchmark_option
@data_option
@split_option
@shown
def images(file: Path, benchmark: str, data: str | None, split: str | None) -> None:
    """Write the clean images of a benchmark to FILE (.npz): ids, images (n, H, W) in [0, 1], labels."""
    import numpy as np

    from fracbench import specs
    from fracbench.data import load
    from fracbench.resolving import resolve

    if file.suffix != ".npz":
        raise InputError(f"{file}: give a file name that ends in .npz")
    if file.exists():
        raise InputError(f"{file} is there already; give another name")
    job = resolve(specs.load(benchmark), data=data, split=split)
    batches = [load(job.dataset, samples, job.spec.image_size) for samples in job.batches]
    try:
        np.savez_compressed(
            file,
            ids=np.array([name for batch in batches for name in batch.ids]),
            images=np.concatenate([batch.images[:, 0].numpy() for batch in batches]),
            labels=np.concatenate([batch.labels.numpy() for batch in batches]),
        )
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror})") from None
    threat = job.spec.threat
    click.echo(
        f"wrote {file}: {sum(map(len, job.batches))} images; change each by at most {threat.norm} {threat.epsilon}"
    )
    same = repeated(benchmark=benchmark, data=data, split=split)
    click.echo(f"next: fracbench attack submit ADVERSARIAL.npz --submission NAME --by YOUR-NAME{same}")


@attack.command()
@click.argument("file", type=FILE)
@click.option("--submission", required=True, help="The submission attacked; it must have been run.")
@click.option("--by", required=True, help="Your name on the board: lower case letters, digits and -.")
@benchmark_option
@data_option
@split_option
@device_option
@submissions_option
@results_option
@shown
def submit(
    file: Path,
    submission: str,
    by: str,
    benchmark: str,
    data: str | None,
    split: str | None,
    device: str,
    submissions: Path | None,
    results: Path | None,
) -> None:
    """Verify FILE, perturbed images of a benchmark (.npz with ids and images), and let it lower the worst case.

    Norm, range, ids and shapes are checked, and predictions made, here. An image that is read wrongly counts as broken
    under the reference threat, and the row says who broke it.
    """
    from fracbench import evaluating, specs, tasks
    from fracbench.environment import pick_device, prepare
    from fracbench.progress import Notes
    from fracbench.resolving import resolve
    from fracbench.submissions import default_dir, discover
    from fracbench.third_party import check_sender

    check_sender(by)

    device = pick_device(device)
    prepare(device)
    job = resolve(specs.load(benchmark), data=data, split=split)
    (task,) = tasks.bind(discover(submissions or default_dir(), results, [submission]), job, device)
    before = task.folder.summary()
    after = evaluating.lower(task, file, by, limits(None, None), Notes())
    (images, lowered), (_, lowered_before) = _of(by, after), _of(by, before or {})
    click.echo(
        f"verified: {lowered - lowered_before} more images broken that every attack had spared; of {by} in all "
        f"{images} images, {lowered} broken"
    )
    for name, score in (("worst case", "worst_case"), ("headline", "headline")):
        pair = (row[score].get("balanced_accuracy", row[score])["value"] for row in (before or after, after))
        old, new = ("-" if value is None or value != value else f"{value:.3f}" for value in pair)
        click.echo(f"{name} of {submission}: {old} -> {new}")
    click.echo(f"next: fracbench leaderboard{repeated(submissions=submissions, results=results)}")


def _of(by: str, row: Mapping[str, Any]) -> tuple[int, int]:
    """How many images a sender has sent, and how many of them lowered the row."""
    mine = [(sender["images"], sender["lowered"]) for sender in row.get("third_party", []) if sender["by"] == by]
    return mine[0] if mine else (0, 0)
