"""``fracbench data``: a dataset's contact sheet, the hashes of its images, and what is wrong with its files."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fracbench.cli._common import FOLDER, shown
from fracbench.errors import InputError

LONGEST = 200  # characters of a file's name, with room for the temporary one
NAMED = 3  # files named of each fault


class _Group(click.Group):
    """What is no command is the kind of a dataset, whose sheet is wanted."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["sheet", *args])


@click.group("data", cls=_Group)
def data_() -> None:
    """Look at a dataset: `fracbench data KIND` makes or reads it and writes a contact sheet."""


@data_.command()
@click.argument("kind")
@click.option("--data", help="Folder of the dataset, where it needs one.")
@click.option("--split", "splits", multiple=True, help="Only this split; can be given again.  [default: all]")
@click.option("--out", type=FOLDER, help="File to write.  [default: KIND-sheet.png]")
@click.option("--hashes", type=FOLDER, help="Write no sheet but this file, the SHA-256 of each image on a line.")
@shown
def sheet(kind: str, data: str | None, splits: tuple[str, ...], out: Path | None, hashes: Path | None) -> None:
    """Make or read the dataset KIND and write a contact sheet of its splits, with fractures outlined.

    With --hashes, what a submission names under `training: hashes:`. A dataset that its authors publish, such as
    fracatlas, is downloaded into this folder where --data does not name one. The word `sheet` can be left out.
    """
    from fracbench import registry
    from fracbench.files import write_atomic

    registry.check_name("datasets", kind)
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    if out and hashes:
        raise InputError("--out is for the sheet, which --hashes leaves out; pass one of the two")
    option, suffix = ("--hashes", ".txt") if hashes else ("--out", ".png")
    file = hashes or out or Path(f"{kind}-sheet.png")
    _check_file(file, option, suffix)
    from fracbench.data import image_hash
    from fracbench.sheet import contact_sheet

    root = None if data is None else Path(data)
    published = getattr(registry.load("datasets", kind), "archive", None)
    if root is None and published is not None:
        from fracbench.archives import obtain

        of = registry.make("datasets", kind, {}, root=None)
        if unknown := [split for split in splits if split not in of.splits]:
            raise InputError(f"{kind} has no split '{unknown[0]}'; it has {', '.join(of.splits)}")
        root = obtain(published, Path())
        click.echo(f"{root}: {published.terms}")
        click.echo(f"next: fracbench data check {root}")
    dataset = registry.make("datasets", kind, {}, root=root)
    chosen = splits or tuple(dataset.splits)
    if hashes:
        digests = {image_hash(dataset, sample) for split in chosen for sample in dataset.samples(split)}
        content = "".join(f"{digest}\n" for digest in sorted(digests)).encode()
    else:
        picture = io.BytesIO()
        contact_sheet(dataset, chosen).save(picture, format="PNG")
        content = picture.getvalue()
    write_atomic(file, content)
    click.echo(f"wrote {file}")


@data_.command()
@click.argument("folder", type=FOLDER)
@click.option("--kind", help="Which dataset it is.  [default: the one whose layout it has]")
@click.option("--out", type=FOLDER, help="Write every fault and the file that has it to this .csv.")
@shown
def check(folder: Path, kind: str | None, out: Path | None) -> None:
    """Look at every image in FOLDER: how many, how large the fractures, and what is wrong, with the names of files.

    Nothing is changed: what is found is dealt with when the images are read.
    """
    from fracbench import registry
    from fracbench.errors import printable
    from fracbench.files import write_atomic

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if kind is not None:
        registry.check_name("datasets", kind)
    if out is not None:
        _check_file(out, "--out", ".csv")
    from fracbench.data_report import report

    chosen = kind or _kind_of(folder)
    dataset = registry.make("datasets", chosen, {}, root=folder)
    with click.progressbar(length=1, label=f"looking at {chosen}", file=sys.stderr) as bar:

        def told(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = report(dataset, told)
    _echo_table([list(vars(found.splits[0])), *(list(map(str, vars(of).values())) for of in found.splits)])
    for name, values in found.lesions.items():
        if values:
            shown_as = " ".join(f"{value:.4f}" if "share" in name else f"{value:.0f}" for value in values)
            click.echo(f"{name} of a fracture, minimum, quartiles, maximum: {shown_as}")
    for fact, counts in found.facts.items():
        click.echo(printable(f"{fact}: {', '.join(f'{value} {n}' for value, n in counts.items())}"))
    for fault, names in found.findings.items():
        more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
        click.echo(printable(f"{len(names)} x {fault}: {', '.join(names[:NAMED])}{more}"))
    if out is not None:
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["fault", "files"])
        writer.writerows((fault, name) for fault, names in found.findings.items() for name in names)
        write_atomic(out, table.getvalue().encode())
        click.echo(f"wrote {out}")
    elif found.findings:
        click.echo(f"next: fracbench data check {folder} --out faults.csv, for the name of every file")


def _check_file(file: Path, option: str, suffix: str) -> None:
    """``InputError`` where this file could not be written."""
    from fracbench.files import check_writable

    if file.suffix != suffix or len(file.name) > LONGEST or not file.parent.is_dir() or file.is_dir():
        raise InputError(f"{option} {file}: name a {suffix} file in a folder that is there")
    check_writable(file.parent, option)


def _kind_of(folder: Path) -> str:
    """The dataset whose layout a folder has."""
    from fracbench import registry

    layouts = {name: getattr(registry.load("datasets", name), "layout", ()) for name in registry.names("datasets")}
    for name, layout in layouts.items():
        if layout and all((folder / part).exists() for part in layout):
            return name
    told = "; ".join(f"{name}: {', '.join(layout)}" for name, layout in layouts.items() if layout)
    raise InputError(f"{folder}: has the layout of no dataset ({told}); give the folder with these, or --kind")


def _echo_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        numbers = (f"{value:>{width}}" for value, width in zip(others, widths[1:], strict=True))
        click.echo("  ".join([f"{first:<{widths[0]}}", *numbers]))
