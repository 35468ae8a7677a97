"""Reads results for the pages. A broken folder becomes a line of text, never an exception."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from fracbench.errors import InputError
from fracbench.store import ResultFolder, find_results
from fracbench.summary import rank


@dataclass
class Board:
    """Everything found: ranked rows, folders by (submission, folder name), what is unfinished or broken."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    in_progress: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def boards(self) -> list[tuple[str, str, str]]:
        """(spec, split, fingerprint) of each table; rows never cross them."""
        return sorted({board_of(row) for row in self.rows})

    def of(self, board: tuple[str, str, str]) -> list[dict[str, Any]]:
        return [row for row in self.rows if board_of(row) == board]


def board_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["spec"], row["split"], row["fingerprint"]


def read_board(submissions: Path, results: Path | None) -> Board:
    board = Board()
    summaries = []
    for folder in find_results(submissions, results):
        try:
            summary = folder.summary()
            if summary is None:
                board.in_progress.append(f"{folder.submission} on {folder.spec}")
                continue
            rank([summary])  # a summary that lacks what ranking needs is broken, too
            row = {**summary, "path": str(folder.path), "self_reported": folder.self_reported}
            summaries.append(row)
        except InputError as error:
            board.broken.append(str(error))
        except (KeyError, TypeError, ValueError) as error:
            board.broken.append(f"{folder.path}/summary.json: not a summary ({type(error).__name__}: {error})")
    board.rows = rank(summaries)
    return board


def read_gallery(row: dict[str, Any]) -> pd.DataFrame:
    """The gallery of a row; empty where there is none."""
    path = Path(row["path"])
    try:
        return ResultFolder(path, row["submission"], path.name).gallery()
    except InputError:
        return pd.DataFrame(columns=["image", "label", "condition", "attack", "kind", "explainer", "png"])
