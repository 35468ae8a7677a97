"""Tables that come with radiographs, as CSV: what is read, and what is refused with file and line."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from fracbench.errors import InputError

_FLAGS: Mapping[str, str] = {"": "", "0": "0", "1": "1", "0.0": "0", "1.0": "1"}
AGAIN = "unpack the archive again"


def read_table(
    path: Path, key: str, needed: Collection[str] = (), flags: Collection[str] = ()
) -> dict[str, dict[str, str]]:
    """Rows by their ``key``, which each has once; ``needed`` columns are there, ``flags`` hold 0, 1 or nothing.

    Raises ``InputError``, a line for each fault, for what is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            lacking = sorted({key, *needed} - set(reader.fieldnames or ()))
            if lacking:
                raise InputError(f"{path}: lacks the column {lacking[0]}; {AGAIN}")
            rows = list(enumerate(reader, 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not CSV in UTF-8 ({error}); {AGAIN}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from None
    found: dict[str, dict[str, str]] = {}
    faults = []
    for line, row in rows:
        if row[key] in found:
            faults.append(f"{path}:{line}: lists {row[key]} again; {AGAIN}")
        for flag in row.keys() & set(flags):
            if (written := row[flag].strip()) not in _FLAGS:
                faults.append(f"{path}:{line}: {flag} is {written[:40]!r}, not 0 or 1; {AGAIN}")
            row[flag] = _FLAGS.get(written, "")
        found[row[key]] = row
    if faults:
        raise InputError(*faults)
    return found
