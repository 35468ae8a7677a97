"""``fracbench study``: what a results store says about robustness and alignment."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fracbench.cli._common import FOLDER, benchmark_option, existing, places, shown
from fracbench.errors import InputError


@click.command()
@benchmark_option
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@click.option("--out", type=FOLDER, default=Path("study"), show_default=True, help="Folder for the files.")
@shown
def study(benchmark: str, submissions: Path | None, results: Path | None, out: Path) -> None:
    """Test what the benchmark registered: do robust models look at the fracture more?

    Training pairs first, then relations across models by the founding study's protocol and by ours, doses, and
    controls. Writes study.json, study.md and figures.
    """
    import json
    from importlib.metadata import entry_points

    from fracbench import specs
    from fracbench.board import read_board
    from fracbench.files import check_writable, write_atomic
    from fracbench.store import finite
    from fracbench.study.answer import answer
    from fracbench.study.page import page
    from fracbench.study.reading import models_of
    from fracbench.study.words import sentences

    existing(submissions, results)
    check_writable(out, "--out")
    spec = specs.load(benchmark)
    if spec.study is None:
        registered = [name for name in specs.names() if specs.load(name).study]
        raise InputError(f"{benchmark} registers no study; these do: {', '.join(registered)}")
    board = read_board(*places(submissions, results))
    models, shifted, left = models_of(board.rows, spec)
    left += [line for line in board.broken if spec.name in line]
    left += [f"{of.submission}: its run of {of.path.name} is unfinished; repeat it"
             for of in board.in_progress if of.path.name.startswith(spec.name)]  # fmt: skip
    for line in left:
        click.echo(f"left out: {line}", err=True)
    found = answer(spec, models, shifted, left)
    given = [("--submissions", submissions), ("--results", results)]
    words = ["fracbench", "study", "--benchmark", benchmark, *(str(word) for of in given if of[1] for word in of)]
    text = json.dumps(finite(found), indent=1, allow_nan=False) + "\n"
    write_atomic(out / "study.json", text.encode())
    (draw,) = entry_points(group="fracbench.leaderboard", name="study")
    figures = draw.load()(found, out)
    write_atomic(out / "study.md", page(found, shlex.join(words), {of.stem: of.name for of in figures}).encode())
    paths = [out / "study.json", out / "study.md", *figures]
    for sentence in sentences(found):
        click.echo(sentence)
    for path in paths:
        click.echo(f"wrote {path}")
