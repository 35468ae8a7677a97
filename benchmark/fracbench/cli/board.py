"""``fracbench summarise`` and ``fracbench leaderboard``: what was run, ranked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fracbench.cli._common import FOLDER, existing, places, shown
from fracbench.errors import InputError

if TYPE_CHECKING:
    from fracbench.store import ResultFolder


@click.command()
@click.argument("names", nargs=-1)
@click.option("--benchmark", help="Only this benchmark spec.")
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@shown
def summarise(names: tuple[str, ...], benchmark: str | None, submissions: Path | None, results: Path | None) -> None:
    """Recompute the scores from stored rows, without any model, and print the ranking."""
    from fracbench import printing, specs
    from fracbench.board import read_board, tolerant
    from fracbench.errors import did_you_mean
    from fracbench.store import find_results

    existing(submissions, results)
    if benchmark is not None:
        specs.load(benchmark)

    folders = find_results(*places(submissions, results))
    for name in names:
        if name not in {folder.submission for folder in folders}:
            hint = did_you_mean(name, {folder.submission for folder in folders})
            raise InputError(f"no results of '{name}'.{hint} Run it first: fracbench run {name}")
    broken: list[str] = []
    for folder in folders:
        if not names or folder.submission in names:
            tolerant(folder, partial(_summarise, folder, benchmark), broken)
    for line in broken:
        click.echo(f"not recomputed: {line}", err=True)
    printing.print_board(read_board(*places(submissions, results)), benchmark)


def _summarise(folder: Any, benchmark: str | None) -> None:
    from fracbench import summary
    from fracbench.store import TABLES

    record = folder.run()
    if record is None or benchmark not in (None, record["spec"]):
        return
    with folder.alone(partial(click.echo, f"waiting for another command in {folder.path}", err=True)):
        folder.write_summary(summary.summarise(record, {name: folder.table(name) for name in TABLES}))


def _shown(folders: Sequence[ResultFolder]) -> Iterator[ResultFolder]:
    """The folders one by one, with a bar where someone watches."""
    with click.progressbar(folders, label="reading results", hidden=not sys.stderr.isatty(), file=sys.stderr) as bar:
        yield from bar


@click.command()
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@click.option("--host", default="localhost", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@shown
def leaderboard(submissions: Path | None, results: Path | None, host: str, port: int) -> None:
    """Open the leaderboard in the browser."""
    from importlib.metadata import entry_points

    from fracbench.board import read_board

    existing(submissions, results)
    folder, results = places(submissions, results)
    read_board(folder, results, _shown)  # so that the first reader does not wait
    (launch,) = entry_points(group="fracbench.leaderboard", name="default")
    click.echo(f"leaderboard at http://{host}:{port} (stop with Ctrl-C)")
    launch.load()(folder, results, host, port)


@click.command()
@click.option("--benchmark", help="Only this benchmark spec.")
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@click.option("--out", type=FOLDER, default=Path("report"), show_default=True, help="Folder for the files.")
@shown
def report(benchmark: str | None, submissions: Path | None, results: Path | None, out: Path) -> None:
    """Write the ranking as one HTML page that needs nothing else, and as Markdown, CSV and LaTeX."""
    from importlib.metadata import entry_points

    from fracbench import specs
    from fracbench.board import read_board
    from fracbench.files import check_writable

    existing(submissions, results)
    check_writable(out, "--out")
    if benchmark is not None:
        specs.load(benchmark)
    board = read_board(*places(submissions, results), _shown)
    for line in board.broken:
        click.echo(f"left out: {line}", err=True)
    if not any(benchmark in (None, row["spec"]) for row in board.rows):
        raise InputError("there are no results to report; type: fracbench run --all")
    (write,) = entry_points(group="fracbench.leaderboard", name="report")
    for path in write.load()(board, out, benchmark):
        click.echo(f"wrote {path}")
