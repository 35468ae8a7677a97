"""``fracbench train``: the starters that ship with fracbench."""

from __future__ import annotations

from pathlib import Path

import click

from fracbench.cli._common import FOLDER, device_option, shown, where


@click.command()
@click.argument("recipe")
@click.option("--architecture", default="resnet", show_default=True, help="A small network of the zoo.")
@click.option("--out", type=FOLDER, help="Submission folder to write.  [default: submissions/NAME as the recipe says]")
@device_option
@click.option("--seed", type=int, help="Another seed than the recipe's.")
@click.option("--epsilon", metavar="TEXT", help="Another epsilon than the recipe's to train against, such as 1/255.")
@click.option("--start", help="Submission beside --out to go on from, where several fit.")
@click.option("--data", type=FOLDER, help="Folder of the dataset, where it needs one.")
@click.option("--force", is_flag=True, help="Replace weights that are there.")
@shown
def train(
    recipe: str,
    architecture: str,
    out: Path | None,
    device: str,
    seed: int | None,
    epsilon: str | None,
    start: str | None,
    data: Path | None,
    force: bool,
) -> None:
    """Train a starter from a RECIPE of the package into a submission folder; goes on where it was broken off."""
    from fracbench import recipes

    chosen, network = recipes.load(recipe), recipes.architecture(architecture)
    chosen = chosen if epsilon is None else chosen.at_epsilon(epsilon)
    from fracbench import training
    from fracbench.environment import pick_device, prepare

    device = pick_device(device)
    prepare(device)
    folder = out or Path("submissions") / chosen.submission_name(architecture, chosen.seed if seed is None else seed)
    written = training.train(
        chosen, network, folder, device=device, seed=seed, start=start, data=data, force=force, report=click.echo
    )
    click.echo(f"wrote {written}")
    click.echo(f"next: fracbench run {folder.resolve().name}{where(folder.resolve().parent)}")
