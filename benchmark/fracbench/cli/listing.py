"""``fracbench list`` and ``fracbench validate``: what there is, and whether a submission is well formed."""

from __future__ import annotations

from pathlib import Path

import click

from fracbench.cli._common import FOLDER, shown, where
from fracbench.errors import InputError


@click.command("list")
@click.argument("kind", required=False)
@shown
def list_(kind: str | None) -> None:
    """List registered plugins of KIND, and the benchmarks, recipes and architectures that ship with fracbench."""
    from fracbench import recipes, registry, specs
    from fracbench.errors import did_you_mean

    shipped = {"benchmarks": specs.names, "recipes": recipes.names, "architectures": recipes.architectures}
    known = (*registry.KINDS, *shipped)
    if kind is not None and kind not in known:
        raise InputError(f"unknown kind '{kind}'.{did_you_mean(kind, known)} Kinds are: {', '.join(known)}")
    if kind is None or kind in registry.KINDS:
        for of in registry.KINDS if kind is None else (kind,):
            click.echo(f"{of}:")
            rows = registry.listings(of)
            width = max((len(row.name) for row in rows), default=0)
            for row in rows:
                click.echo(f"  {row.name:<{width}}  {row.package}  {row.target}")
    for of, found in shipped.items():
        if kind in (None, of):
            click.echo(f"{of}:")
            for name in found():
                click.echo(f"  {name}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=FOLDER)
@shown
def validate(files: tuple[Path, ...]) -> None:
    """Check submission FILES, folders or names without running anything: every fault as file:line: what to write."""
    from fracbench.submissions import default_dir, faults_of

    here = default_dir()
    files = tuple(here / file if not file.exists() and (here / file).is_dir() else file for file in files)
    files = tuple(file / "submission.yaml" if file.is_dir() else file for file in files)
    named = [
        f"{file}: must be called submission.yaml" for file in files if file.is_file() and file.name != "submission.yaml"
    ]
    if named:
        raise InputError(*named)
    faults: list[str] = []
    for file in files:
        found = faults_of(file)
        faults += found
        if not found:
            click.echo(f"{file}: good; weights are downloaded, and tried on the model, when it is run")
    if faults:
        raise InputError(*faults)
    for folder in dict.fromkeys(file.parent.parent for file in files):
        names = " ".join(file.resolve().parent.name for file in files if file.parent.parent == folder)
        click.echo(f"next: fracbench run {names}{where(folder)}")
