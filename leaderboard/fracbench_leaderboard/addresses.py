"""What boards and rows are called where a reader chooses among them, and the addresses of pages about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from fracbench.summary import board_of


def board_name(board: tuple[str, ...]) -> str:
    """A board as a reader chooses it."""
    spec, split, fingerprint, rules = board
    return f"{spec}, {split} split, data {fingerprint[:12]}, rules {rules[:8]}"


def named_boards(boards: Iterable[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Boards by name; what would share the name of an earlier one has its whole hashes in it."""
    named: dict[str, tuple[str, ...]] = {}
    for board in boards:
        name = board_name(board)
        named[name if name not in named else f"{name} ({', '.join(board)})"] = board
    return named


def facts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """What all rows of a board have in common, as a reader narrows boards by it."""
    return {"dataset": row["dataset"], "data": row["fingerprint"][:12], "threat": row["threat"],
            "epsilon": row["epsilon"]}  # fmt: skip


def name_of(row: Mapping[str, Any]) -> str:
    """A row as a reader chooses it among those of its board."""
    return f"{row['submission']}{' (trial)' if row['custom'] else ''}"


def query_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the address of a page about this row holds."""
    return [("board", board_name(board_of(row))), ("model", name_of(row))]


def link_to(row: Mapping[str, Any]) -> str:
    """The address of the model page about this row, from any other page."""
    return "model?" + urlencode(query_of(row))
