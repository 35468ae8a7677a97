"""``fracbench data`` and ``fracbench train``: the images and the starters that ship with fracbench."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import click

from fracbench.cli._common import FOLDER, device_option, shown, where
from fracbench.errors import InputError

LONGEST = 200  # characters of a file's name, with room for the temporary one


@click.command("data")
@click.argument("kind")
@click.option("--data", help="Folder of the dataset, where it needs one.")
@click.option("--split", "splits", multiple=True, help="Only this split; can be given again.  [default: all]")
@click.option("--out", type=FOLDER, help="File to write.  [default: KIND-sheet.png]")
@click.option("--hashes", type=FOLDER, help="Write no sheet but this file, the SHA-256 of each image on a line.")
@shown
def data_(kind: str, data: str | None, splits: tuple[str, ...], out: Path | None, hashes: Path | None) -> None:
    """Make or read the dataset KIND and write a contact sheet of its splits, with fractures outlined.

    With --hashes, what a submission names under `training: hashes:`.
    """
    from fracbench import registry
    from fracbench.files import check_writable, write_atomic

    registry.check_name("datasets", kind)
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    if out and hashes:
        raise InputError("--out is for the sheet, which --hashes leaves out; pass one of the two")
    option, suffix = ("--hashes", ".txt") if hashes else ("--out", ".png")
    file = hashes or out or Path(f"{kind}-sheet.png")
    if file.suffix != suffix or len(file.name) > LONGEST or not file.parent.is_dir() or file.is_dir():
        raise InputError(f"{option} {file}: name a {suffix} file in a folder that is there")
    check_writable(file.parent, option)
    from fracbench.data import image_hash
    from fracbench.sheet import contact_sheet

    dataset = registry.make("datasets", kind, {}, root=None if data is None else Path(data))
    chosen = splits or tuple(dataset.splits)
    if hashes:
        digests = {image_hash(dataset, sample) for split in chosen for sample in dataset.samples(split)}
        content = "".join(f"{digest}\n" for digest in sorted(digests)).encode()
    else:
        picture = BytesIO()
        contact_sheet(dataset, chosen).save(picture, format="PNG")
        content = picture.getvalue()
    write_atomic(file, content)
    click.echo(f"wrote {file}")


@click.command()
@click.argument("recipe")
@click.option("--architecture", default="resnet", show_default=True, help="A small network of the zoo.")
@click.option("--out", type=FOLDER, help="Submission folder to write.  [default: submissions/NAME as the recipe says]")
@device_option
@click.option("--seed", type=int, help="Another seed than the recipe's.")
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
    start: str | None,
    data: Path | None,
    force: bool,
) -> None:
    """Train a starter from a RECIPE of the package into a submission folder; goes on where it was broken off."""
    from fracbench import recipes

    chosen, network = recipes.load(recipe), recipes.architecture(architecture)
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
