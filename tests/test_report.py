"""The ranking as files that need nothing else."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from browser import opened, require_chromium
from click.testing import CliRunner
from fracbench.board import Board, read_board
from fracbench.cli import main
from fracbench_leaderboard import report
from test_printing import board as made_board

FILES = ["ranking.csv", "ranking.html", "ranking.md", "ranking.tex"]


@pytest.fixture
def folder(smoke: Path, tmp_path: Path) -> Path:
    done = CliRunner().invoke(main, ["report", "--submissions", str(smoke), "--results", str(smoke),
                                     "--out", str(tmp_path / "report")])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [line for line in done.output.splitlines() if line.startswith("wrote ")]
    return tmp_path / "report"


def test_all_files_say_what_the_board_says(folder: Path, smoke: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    rows = read_board(smoke / "none", smoke).rows
    table = pd.read_csv(folder / "ranking.csv")
    assert table.Name.tolist() == [row["submission"] for row in rows]
    assert table.Headline.tolist() == [row["headline"]["value"] for row in rows]
    assert table["Headline low"].tolist() == pytest.approx([row["headline"]["low"] for row in rows])
    for name in FILES[1:]:
        text = (folder / name).read_text()
        for row in rows:
            of = row["headline"]
            assert row["submission"] in text and f"{of['value']:.3f}" in text
    lines = [line for line in (folder / "ranking.md").read_text().splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == len(rows) + 2
    latex = (folder / "ranking.tex").read_text()
    assert latex.count(r"\\") == len(rows) + 1 and "%" not in latex.replace(r"\%", "")


class Addresses(HTMLParser):
    """Everything that a page would ask somebody for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "xlink:href", "data", "action", "srcset")
        self.found += [f"{tag} {value}" for name, value in attributes if name in names and value]
        assert tag not in ("script", "iframe", "object", "link")


def test_the_page_needs_nothing_and_nobody(folder: Path) -> None:
    text = (folder / "ranking.html").read_text()
    parser = Addresses()
    parser.feed(text)
    assert parser.found and all(place.startswith("img data:image/svg+xml") for place in parser.found)
    assert "@import" not in text and not re.search(r"url\((?!data:)", text)
    require_chromium()
    asked: list[str] = []
    with opened(f"file://{folder / 'ranking.html'}", asked, 390) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("table").count() == 1 and page.locator("figure svg").count() == 1
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_text_of_strangers_is_text_in_every_file(tmp_path: Path) -> None:
    evil = r"<script>alert(1)</script> | [x](http://e) \input{x} & $a_b$ 5%"
    rows = [row | {"note": evil, "title": evil, "authors": [evil], "unranked_because": [evil]}
            for row in made_board().rows]  # fmt: skip
    html, markdown, csv, latex = (path.read_text() for path in report.write(Board(rows), tmp_path))
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert pd.read_csv(io.StringIO(csv)).Team.tolist() == [evil] * len(rows)
    assert "trial" in markdown and "trial" in latex and r"\input" not in latex


def test_a_benchmark_is_chosen_and_an_empty_board_is_one_line(smoke: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    empty = ["report", "--submissions", str(smoke), "--results", str(tmp_path), "--out", str(out)]
    other = ["report", "--submissions", str(smoke), "--results", str(smoke), "--benchmark", "phantom-v1",
             "--out", str(out)]  # fmt: skip
    for words in (empty, other):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2 and "fracbench run --all" in done.output and not out.exists()
