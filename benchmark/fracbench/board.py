"""The board: what is found in results folders, ranked. A broken folder becomes a line, never an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fracbench.errors import InputError
from fracbench.kept_rows import Kept, kept, known, state_of
from fracbench.row import check_row
from fracbench.store import ResultFolder, find_results
from fracbench.summary import board_of, rank

T = TypeVar("T")


@dataclass
class Board:
    """Everything found: ranked rows, runs that are unfinished, and a line for each folder that is broken."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    in_progress: list[ResultFolder] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def boards(self) -> list[tuple[str, ...]]:
        """What identifies each table; rows never cross them. Those with ranked rows first."""
        ranked = {board_of(row) for row in self.rows if row["rank"] is not None}
        return sorted({board_of(row) for row in self.rows}, key=lambda board: (board not in ranked, board))

    def of(self, board: tuple[str, ...]) -> list[dict[str, Any]]:
        return [row for row in self.rows if board_of(row) == board]


def tolerant(folder: ResultFolder, work: Callable[[], T], broken: list[str]) -> T | None:
    """The result of ``work`` on a folder; where the files are not what they should be, a line in ``broken``."""
    try:
        return work()
    except InputError as error:
        broken += error.faults
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
        broken.append(f"{folder.path}: not results of fracbench ({type(error).__name__}: {error})")
    return None


def read_board(
    submissions: Path,
    results: Path | None,
    each: Callable[[Sequence[ResultFolder]], Iterable[ResultFolder]] = iter,
) -> Board:
    """Read every summary. Self-reported ones, whose files this user's fracbench did not write, are not ranked.

    Rows are without what a page shows of one model alone, which ``whole`` adds. ``each`` sees the folders go by.
    """
    board, rows = Board(), []
    for folder in each(find_results(submissions, results)):
        found = kept(folder.path, state_of(folder.path), partial(_read, folder))
        board.broken += found.broken
        if found.row is not None:
            rows.append(found.row)
        elif not (folder.path / "summary.json").exists():
            board.in_progress.append(folder)
    board.rows = _ranked(rows)
    return board


_last: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []


def _ranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows ranked; the very rows of the last board are not tested against each other again."""
    global _last
    before, ranked = _last
    if len(before) != len(rows) or any(one is not other for one, other in zip(before, rows, strict=True)):
        ranked = rank(rows)
        _last = rows, ranked
    return ranked


def whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the board with all that its summary holds. ``InputError`` where that is not there any more."""
    path = Path(row["path"])
    summary = ResultFolder(path, row["submission"], path.name).summary()
    if summary is None:
        raise InputError(f"{path}: the summary is gone; reload the page")
    if not known(path):
        check_row(summary, str(path / "summary.json"))
    return {**summary, **{name: of for name, of in row.items() if name != "alignment"}}


def _read(folder: ResultFolder) -> Kept:
    broken: list[str] = []
    summary = tolerant(folder, folder.summary, broken)
    row = None if summary is None else tolerant(folder, lambda: _row(folder, summary), broken)
    return Kept(row, broken)


def _row(folder: ResultFolder, summary: dict[str, Any]) -> dict[str, Any]:
    verified = folder.verified
    ours = verified is not None or not folder.self_reported
    summary = {**summary, "submission": folder.submission}
    check_row(summary, str(folder.path / "summary.json"))
    return {
        **summary,
        "path": str(folder.path.absolute()),
        "self_reported": not ours,
        "verified": (verified or {}).get("date"),
        "ranked": summary["ranked"] and ours,
        "unranked_because": [*summary["unranked_because"], *([] if ours else ["self-reported, and not verified"])],
    }


SCORES = {"clean": "clean balanced accuracy", "worst_case": "worst-case balanced accuracy", "headline": "headline"}


def drops(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How rows on another split of a benchmark compare with the same submission's on the benchmark's own.

    One entry for each such row: submission, spec, split, and of each of ``SCORES`` the two values, or None.
    """
    home = {(row["submission"], row["spec_hash"]): row for row in rows if _at_home(row)}
    found = []
    for row in rows:
        own = home.get((row["submission"], row["spec_hash"]))
        if own is None or row["custom"] or row["split"] == row["home_split"]:
            continue
        pairs = {name: tuple(_value(of[name]) for of in (own, row)) for name in SCORES}
        found.append({"submission": row["submission"], "spec": row["spec"], "split": row["split"], **pairs})
    return sorted(found, key=lambda drop: (drop["spec"], drop["split"], drop["submission"]))


def _at_home(row: Mapping[str, Any]) -> bool:
    return not row["custom"] and row["split"] == row["home_split"]


def _value(score: Mapping[str, Any]) -> float | None:
    return score.get("balanced_accuracy", score)["value"]
