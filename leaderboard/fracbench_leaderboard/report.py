"""The ranking as files to hand on: one HTML page that needs nothing else, Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from fracbench import __version__
from fracbench.board import Board
from fracbench.files import write_atomic
from fracbench.text import for_markdown

from fracbench_leaderboard.addresses import named_boards
from fracbench_leaderboard.bars import interval_bar
from fracbench_leaderboard.drawing import drawn, plain
from fracbench_leaderboard.figures import scatter
from fracbench_leaderboard.table import badges, interval, ranking_frame, scores

STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.45 }
body { max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8888; text-align: right; white-space: nowrap }
th:nth-child(3), td:nth-child(3), td:last-child, th:last-child { text-align: left; white-space: normal }
td img { display: block; margin-left: auto }
figure { margin: 1.5rem 0 } figure svg { max-width: 100%; height: auto }
"""
EXPLAINED = (
    "Intervals are 95 %, of the two factors 97.5 % so that their product's holds. Entries of one tie group cannot be "
    "told from the first of it by a test. n: annotated fractured + normal images."
)
SHORT = ("Rank", "Tie group", "Name", "Headline", "Aligned sensitivity", "Robust specificity", "Robust bal. acc.",
         "Clean bal. acc.", "Calibrated alignment", "n")  # fmt: skip


def write(board: Board, folder: Path, benchmark: str | None = None) -> list[Path]:
    """Write ``ranking.html``, ``.md``, ``.csv`` and ``.tex`` below ``folder``; their paths.

    All boards, or those of one ``benchmark``; ranks are those of the leaderboard.
    """
    named = named_boards(of for of in board.boards() if benchmark in (None, of[0]))
    tables = {name: board.of(of) for name, of in named.items()}
    made = {
        "html": _html(tables),
        "md": "\n".join(_markdown(name, rows) for name, rows in tables.items()),
        "csv": _csv(tables),
        "tex": "\n".join(_latex(name, rows) for name, rows in tables.items()),
    }
    paths = [folder / f"ranking.{ending}" for ending in made]
    for path, text in zip(paths, made.values(), strict=True):
        write_atomic(path, text.encode())
    return paths


def _short(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The columns of a page's width, every number with its interval."""
    frame = ranking_frame(rows, show=lambda _, score: {"": interval(score)})
    for name in ("Rank", "Tie group"):
        frame[name] = ["–" if value is None or value != value else str(int(value)) for value in frame[name]]
    frame["Name"] = [named(row) for row in rows]
    return frame[list(SHORT)]


def named(row: Mapping[str, Any]) -> str:
    """A row's name, and what a reader must know before comparing its numbers."""
    why = ["control"] if row["control"] else []
    why += ["self-reported"] if row.get("self_reported") else []
    why += ["not ranked"] if row["rank"] is None else []
    answered = [flag["answered"] for flag in row["flags"]]
    why += [] if not answered else ["flag answered"] if all(answered) else ["flagged"]
    return row["submission"] + (f" ({', '.join(why)})" if why else "")


def _markdown(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    frame = _short(rows)
    lines = [
        f"## {name}",
        "",
        for_markdown(rows[0]["note"]),
        "",
        f"| {' | '.join(frame)} |",
        "|" + " --- |" * frame.shape[1],
    ]
    lines += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in frame.to_numpy()]
    return "\n".join([*lines, "", EXPLAINED, ""])


def _latex(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    frame = _short(rows)
    frame = frame.rename(columns=_for_latex).map(_for_latex)
    columns = "rrl" + "r" * (frame.shape[1] - 3)
    made: str = frame.to_latex(index=False, caption=_for_latex(f"{name}. {EXPLAINED}"), column_format=columns)
    return made


LATEX = str.maketrans({sign: rf"\{sign}" for sign in "{}%&_#$"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "–": "--"
})  # fmt: skip


def _for_latex(text: str) -> str:
    return text.translate(LATEX)


def _csv(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Every column and number, and the board that a line belongs to."""
    frames = []
    for rows in tables.values():
        frame = plain(ranking_frame(rows))
        for place, key in enumerate(("spec", "split", "fingerprint", "spec_hash", "threat", "epsilon")):
            frame.insert(place, key, [row[key] for row in rows])
        frames.append(frame)
    text: str = pd.concat(frames, ignore_index=True).to_csv(index=False)
    return text


def _html(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    body = "\n".join(line for name, rows in tables.items() for line in _section(name, rows))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>fracbench ranking</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><h1>fracbench</h1><p>{escape(EXPLAINED)}</p>\n{body}\n"
        f"<footer><p>Written by fracbench {escape(__version__)}.</p></footer></body></html>\n"
    )


def _section(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first = rows[0]
    yield f"<h2>{escape(name)}</h2>"
    told = f"Threat model {first['threat']} at epsilon {first['epsilon']}; dataset {first['dataset']}. {first['note']}"
    yield f"<p>{escape(told)}</p>"
    names = list(dict.fromkeys(name for row in rows for name in scores(row)))
    heads = ["Rank", "Tie group", "Name", *names, "n", "Badges, and why a row is not ranked"]
    yield '<div class="wide"><table><thead><tr>' + "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in _cells(row, names)) + "</tr>"
    yield "</tbody></table></div>"
    chart = scatter(rows)
    if chart is not None:
        words = "Robust balanced accuracy and calibrated alignment of each entry, with 95 % intervals"
        figure = drawn(chart, "svg").decode()
        yield f'<figure role="img" aria-label="{words}">{figure}<figcaption>{words}</figcaption></figure>'


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for key in ("rank", "tie_group"):
        yield "–" if row[key] is None else str(row[key])
    yield escape(named(row))
    found = scores(row)
    for name in names:
        of = found.get(name, {"value": None})
        bar = interval_bar(name, of)
        picture = f'<img src="{escape(bar)}" alt="interval {escape(interval(of))}">' if bar else ""
        yield ("–" if of["value"] is None else f"{of['value']:.3f}") + picture
    yield f"{row['n']['annotated']} + {row['n']['normal']}"
    yield escape("; ".join([*badges(row), *row["unranked_because"]]))
