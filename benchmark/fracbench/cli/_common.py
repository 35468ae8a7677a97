"""What several commands share: how they fail, and which folders they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fracbench.apart import Limits

from fracbench.errors import InputError

FOLDER = click.Path(path_type=Path)
DEFAULT = "phantom-v1"
MOST_FAULTS = 20  # lines: thousands of them hide what is wrong

benchmark_option = click.option("--benchmark", default=DEFAULT, show_default=True, help="Benchmark spec.")
data_option = click.option("--data", help="Folder of the dataset, where the benchmark needs one.")
split_option = click.option("--split", help="Another split than the spec's, such as val.")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
submissions_option = click.option(
    "--submissions", type=FOLDER, help="Folder of submissions.  [default: ./submissions, else the starters]"
)
memory_option = click.option(
    "--memory",
    type=click.FloatRange(min=0.5),
    help="GiB that the process of a submission may take.  [default: four fifths of the machine's]",
)
cell_timeout_option = click.option(
    "--cell-timeout",
    type=click.FloatRange(min=1),
    help="Seconds that a cell, or building a model, may take.  [default: many times what it should]",
)
results_option = click.option("--results", type=FOLDER, help="Folder of results.  [default: beside each submission]")


def shown(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn wrong input into one line per fault and status 2, Ctrl-C into advice, a return value into the status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            status = command(*args, **kwargs)
        except InputError as error:
            for fault in error.faults[:MOST_FAULTS]:
                click.echo(f"error: {fault}", err=True)
            if len(error.faults) > MOST_FAULTS:
                click.echo(f"error: and {len(error.faults) - MOST_FAULTS} more", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("\nstopped; what is finished is kept. Repeat the same command to go on.", err=True)
            sys.exit(130)
        sys.exit(status or 0)

    return run


def limits(memory: float | None, seconds: float | None) -> Limits:
    """What the process of a submission is held to."""
    from fracbench.apart import GIB, Limits, default_memory

    return Limits(default_memory() if memory is None else int(memory * GIB), seconds)


def repeated(**options: object) -> str:
    """Options as they are typed, those that were given."""
    return "".join(f" --{name} {value}" for name, value in options.items() if value)


def where(submissions: Path) -> str:
    """The option that finds this folder of submissions, where it is not the default."""
    from fracbench.submissions import default_dir

    return "" if submissions.resolve() == default_dir().resolve() else f" --submissions {submissions}"


def existing(*folders: Path | None) -> None:
    missing = [f"{folder}: no such folder" for folder in folders if folder is not None and not folder.is_dir()]
    if missing:
        raise InputError(*missing)


def places(submissions: Path | None, results: Path | None) -> tuple[Path, Path | None]:
    """Where results are looked for: starters shipped in the wheel have theirs in ./results."""
    from fracbench.submissions import default_dir, results_dir

    folder = submissions or default_dir()
    if results is None and results_dir(folder, "x", None) == Path("results/x"):
        results = Path("results")
    return folder, results
