"""Rows of the board as they were last read: a folder none of whose files has changed is not read again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fracbench
from fracbench.files import cache_dir, write_atomic
from fracbench.keyed import digest, keyed_digest
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import TABLES

FORM = [fracbench.__version__, SCHEMA_VERSION, 1]  # the last: of what is kept
FILES = ("summary.json", "run.json", "verified.json", *(f"{name}.parquet" for name in TABLES))
# What the page shows of one model alone, most of a summary, is read again for that model.
OF_ONE_MODEL = ("alignment_by_outcome", "stability", "faithfulness", "spread", "blank_maps", "subgroups")


@dataclass(frozen=True)
class Kept:
    """What reading a folder gave: a row or None, and lines on what is broken there."""

    row: dict[str, Any] | None
    broken: list[str]


State = tuple[tuple[int, ...], ...]
_kept: dict[Path, tuple[State, Kept]] = {}


def state_of(folder: Path) -> State:
    """Changes whenever a file of results in ``folder`` is written to, or replaced."""
    found: list[tuple[int, ...]] = [()] * len(FILES)
    for place, name in enumerate(FILES):
        with contextlib.suppress(OSError):
            of = (folder / name).stat()
            found[place] = of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino
    return tuple(found)


def known(folder: Path) -> bool:
    """Whether a row of the folder as it is now has been read and checked by this process."""
    return folder in _kept and _kept[folder][1].row is not None and _kept[folder][0] == state_of(folder)


def kept(folder: Path, state: State, read: Callable[[], Kept]) -> Kept:
    """What ``read`` gave for the folder in this state, by this process or one before; else what it gives now."""
    if folder in _kept and _kept[folder][0] == state:
        return _kept[folder][1]
    file = cache_dir() / "board" / f"{digest(str(folder.absolute()))[:40]}.json"
    found = _stored(file, state)
    if found is None:
        found = read()
        if found.row is not None:
            row = slim(found.row)
            found = Kept(row, found.broken)
            _store(file, state, row)
    _kept[folder] = state, found
    return found


def slim(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what is shown of one model alone; of its alignment, that on clean images stays."""
    alignment = {
        explainer: {metric: {"clean": of["clean"]} for metric, of in metrics.items() if "clean" in of}
        for explainer, metrics in row["alignment"].items()
    }
    return {name: of for name, of in row.items() if name not in OF_ONE_MODEL} | {"alignment": alignment}


def _stored(file: Path, state: State) -> Kept | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Kept(found["row"], []) if found["state"] == _written(state) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _written(state: State) -> str:
    """Under this user's key: whether results are ours, which a row says, depends on it."""
    return keyed_digest([FORM, state])


def _store(file: Path, state: State, row: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full or read-only disk makes the next board slower, no more
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        write_atomic(file, json.dumps({"state": _written(state), "row": row}).encode())
