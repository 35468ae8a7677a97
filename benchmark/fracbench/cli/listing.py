"""``fracbench list`` and ``fracbench validate``: what there is, and whether a submission is well formed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from fracbench.cli._common import DEFAULT, FOLDER, shown, where
from fracbench.errors import InputError, did_you_mean
from fracbench.starting import SCHEMA


@click.command("list")
@click.argument("kind", required=False)
@shown
def list_(kind: str | None) -> None:
    """List registered plugins of KIND, and the benchmarks, recipes and architectures that ship with fracbench."""
    from fracbench import recipes, registry, specs

    shipped: dict[str, Callable[[], Mapping[str, str]]] = {
        "benchmarks": lambda: {name: specs.load(name).title for name in specs.names()},
        "recipes": lambda: {name: recipes.load(name).titled("An architecture") for name in recipes.names()},
        "architectures": lambda: {name: of.title for name, of in recipes.architectures().items()},
    }
    known = (*registry.KINDS, *shipped)
    if kind is not None and kind not in known:
        raise InputError(f"unknown kind '{kind}'.{did_you_mean(kind, known)} Kinds are: {', '.join(known)}")
    for of in known if kind is None else (kind,):
        if of in shipped:
            rows = list(shipped[of]().items())
        else:
            rows = [(row.name, f"{row.package}  {row.target}") for row in registry.listings(of)]
        click.echo(f"{of}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, says in rows:
            click.echo(f"  {name:<{width}}  {says}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=FOLDER)
@shown
def validate(files: tuple[Path, ...]) -> None:
    """Check submission FILES, folders or names without running anything: every fault as file:line: what to write."""
    from fracbench.submissions import default_dir, faults_of, read_entry

    found, faults = [], []
    for path in files:
        try:
            found += _yaml_files(path, default_dir())
        except InputError as error:
            faults += error.faults
    entered: dict[tuple[Path, str], list[str]] = {}
    for file in dict.fromkeys(found):
        wrong = faults_of(file)
        faults += wrong
        if not wrong:
            click.echo(f"{file}: good in form; `fracbench doctor` builds the model and tries its weights")
            submission = read_entry(file, file.parent.parent, None).submission
            benchmark = DEFAULT if DEFAULT in submission.benchmarks else submission.benchmarks[0]
            entered.setdefault((file.parent.parent, benchmark), []).append(submission.name)
    if faults:
        raise InputError(*faults)
    for (folder, benchmark), names in entered.items():
        of = "" if benchmark == DEFAULT else f" --benchmark {benchmark}"
        command = "doctor" if len(names) == 1 else "run"
        click.echo(f"next: fracbench {command} {' '.join(names)}{of}{where(folder)}")


def _yaml_files(path: Path, folder: Path) -> list[Path]:
    """The submission files that an argument means: a file, a submission's folder or name, a folder of submissions."""
    if not path.exists() and (folder / path).is_dir():
        path = folder / path
    if not path.exists() and path.name == str(path):
        names = [file.parent.name for file in folder.glob("*/submission.yaml")]
        hint = did_you_mean(path.name, names)
        raise InputError(
            f"{path}: no such file, nor a submission in {folder}.{hint} It has: {', '.join(sorted(names))}"
        )
    if path.is_dir():
        inside = sorted(path.glob("*/submission.yaml"))
        return [path / "submission.yaml"] if (path / "submission.yaml").exists() or not inside else inside
    if path.name == SCHEMA.name:
        return []  # `init` puts it there, and submissions/* names it too
    if path.is_file() and path.name != "submission.yaml":
        raise InputError(f"{path}: must be called submission.yaml")
    return [path]
