"""What ``run`` and ``summarise`` print: the plan, and the ranking in 118 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fracbench.board import SCORES, Board, drops
from fracbench.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from fracbench.inside import Estimate
    from fracbench.verify import Verdict

WIDTH = 118
EXPLAINED = (
    "brackets: 95 % intervals; the two factors have 97.5 % ones, so that the headline, their product, has 95 %; "
    "tie group: entries that no test tells from the first of their group; n: annotated fractured + normal images."
)
COLUMNS = ("rank", "tie\ngroup", "submission", "headline", "aligned\nsensitivity", "robust\nspecificity",
           "robust\nbal. acc.", "clean\nbal. acc.", "calibrated\nalignment", "n")  # fmt: skip


def print_plan(plan: Sequence[tuple[str, Estimate]]) -> None:
    width = max(len("submission"), *(len(name) for name, _ in plan))
    click.echo(f"{'submission':<{width}}  {'cells':>6}  {'forward':>10}  {'backward':>10}  {'minutes':>8}")
    for name, cost in plan:
        click.echo(f"{name:<{width}}  {cost.cells:>6}  {cost.forward:>10}  {cost.backward:>10}  {cost.minutes:>8.1f}")
    total = [sum(getattr(cost, key) for _, cost in plan) for key in ("cells", "forward", "backward", "minutes")]
    click.echo(f"{'total':<{width}}  {total[0]:>6}  {total[1]:>10}  {total[2]:>10}  {total[3]:>8.1f}")
    click.echo("passes are upper bounds, in images; minutes from a short timing of each model here")
    click.echo("the adaptive attack, which answers flags, comes on top where a model is flagged")


def _interval(number: Mapping[str, Any]) -> str:
    if number["value"] is None:
        return "-"
    if number["low"] is None:
        return f"{number['value']:.3f}\n[-, -]"
    return f"{number['value']:.3f}\n[{number['low']:.3f},\n {number['high']:.3f}]"


def _cells(row: Mapping[str, Any]) -> list[str]:
    numbers = (row["headline"], *row["factors"].values(), row["robust"]["balanced_accuracy"],
               row["clean"]["balanced_accuracy"], row["calibrated_alignment"])  # fmt: skip
    return [
        str(row["rank"] or "-"),
        str(row["tie_group"] or "-"),
        printable(row["submission"]) + ("\n(control)" if row["control"] else ""),
        *map(_interval, numbers),
        f"{row['n']['annotated']} + {row['n']['normal']}",
    ]


def print_board(board: Board, benchmark: str | None) -> None:
    """One table for each board (rows are never compared across them), with what unranks a row below it."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for line in board.broken:
        click.echo(f"left out: {printable(line)}", err=True)
    console = Console(highlight=False)
    console.width = WIDTH
    for of in board.boards():
        rows = board.of(of)
        if benchmark not in (None, rows[0]["spec"]):
            continue
        first = rows[0]
        title = f"{first['spec']}, {first['split']} split, {first['threat']} {first['epsilon']}"
        table = Table(title=Text(printable(title)), title_justify="left", show_lines=True, box=SIMPLE_HEAD,
                      padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
        for name in COLUMNS:
            table.add_column(name, overflow="fold", min_width=24 if name == "submission" else None)
        for row in rows:
            table.add_row(*map(Text, _cells(row)))
        console.print(table)
        for row in rows:
            if row["unranked_because"]:
                reasons = "; ".join(row["unranked_because"])
                console.print(Text(printable(f"{row['submission']} is not ranked: {reasons}")))
            for flag in row["flags"]:
                answered = ", which the adaptive attack answered" if flag["answered"] else ""
                console.print(Text(printable(f"{row['submission']} is flagged: {flag['text']}{answered}")))
            if (row["clean"]["balanced_accuracy"]["high"] or 1) < 0.5:
                swapped = "below chance on clean images: are its classes swapped? `fracbench doctor` looks at them"
                console.print(Text(printable(f"{row['submission']} is {swapped}")))
            if row["overlap"]["badge"]:
                console.print(Text(printable(f"{row['submission']}: {row['overlap']['badge']}")))
            for sender in row["third_party"]:
                lowered = f"{sender['lowered']} of {sender['images']} images of {sender['by']} lowered it"
                console.print(Text(printable(f"{row['submission']}: {lowered}")))
        console.print(Text(f"{EXPLAINED} {printable(first['note'])}"))
    shown = [drop for drop in drops(board.rows) if benchmark in (None, drop["spec"])]
    if shown:
        _print_drops(console, shown)


def _print_drops(console: Console, shown: Sequence[Mapping[str, Any]]) -> None:
    """What another split costs each submission that was run on it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title="distribution shift: own split -> other split", title_justify="left", box=SIMPLE_HEAD,
                  padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
    for name in ("benchmark", "split", "submission", *SCORES.values()):
        table.add_column(name)
    for drop in shown:
        pairs = [" -> ".join("-" if value is None else f"{value:.3f}" for value in drop[name]) for name in SCORES]
        table.add_row(*(Text(printable(text)) for text in (drop["spec"], drop["split"], drop["submission"], *pairs)))
    console.print(table)


def print_verdict(verdict: Verdict) -> None:
    """What was computed again: the answers of each cell, and of each score the largest differences."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.width = WIDTH
    look: dict[str, Any] = {"title_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
    if verdict.answers:
        table = Table(title="answers, now and stored", **look)
        for name in ("cell", "images", "other answers", "change of accuracy"):
            table.add_column(name, justify="left" if name == "cell" else "right")
        for cell in verdict.answers:
            table.add_row(cell.cell, str(cell.rows), str(cell.differ), f"{cell.accuracy:.3f}")
        console.print(table)
    if verdict.scores:
        table = Table(title="largest difference of a score, over n maps", **look)
        for name in ("score", "n", "from what is stored", "from Quantus, ties broken", "from Quantus, as is"):
            table.add_column(name, justify="left" if name == "score" else "right")
        for of in verdict.scores:
            theirs = ["-" if value != value else f"{value:.1e}" for value in (of.quantus, of.as_is)]
            table.add_row(of.metric, str(of.maps), f"{of.stored:.1e}", *theirs)
        console.print(table)
        console.print(
            "Where pixels tie, fracbench takes the expectation over their order, Quantus the order of the pixels."
        )
