"""The only reader and writer of finished results. Every file appears whole or not at all."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from fracbench.cell_store import CellFolder
from fracbench.errors import InputError
from fracbench.files import cache_dir, write_atomic, write_together
from fracbench.keyed import digest, keyed_digest
from fracbench.schema import SCHEMA_VERSION

LARGEST_JSON = 16 * 2**20  # bytes; of a cell there are 400
LARGEST_TABLE, ROWS_AT_ONCE = 2**30, 256  # bytes in memory
TABLES = ("images", "predictions", "alignment", "gallery")


def _read_parquet(file: Path) -> pd.DataFrame:
    """A table that may come from a stranger: a few bytes can unpack to gigabytes."""
    import pyarrow as pa
    from pyarrow import parquet

    parts, size = [], 0
    with parquet.ParquetFile(file) as opened:
        schema = opened.schema_arrow
        for part in opened.iter_batches(batch_size=ROWS_AT_ONCE):
            size += part.nbytes
            if size > LARGEST_TABLE:
                raise InputError(f"{file}: unpacks to more than {LARGEST_TABLE} bytes; delete it and run again")
            parts.append(part)
    return pa.Table.from_batches(parts, schema).to_pandas().reset_index(drop=True)


@dataclass(frozen=True)
class ResultFolder:
    """``<results>/<spec>/`` of one submission."""

    path: Path
    submission: str
    spec: str

    def _json(self, name: str) -> dict[str, Any] | None:
        file = self.path / name
        if not file.is_file():
            return None
        if file.stat().st_size > LARGEST_JSON:
            raise InputError(f"{file}: larger than {LARGEST_JSON // 2**20} MiB; delete it and run again")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise InputError(f"{file}: cannot be read ({error}); delete it and run again") from None
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            found = content.get("schema_version") if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{file}: schema version {found}, this fracbench reads {SCHEMA_VERSION}; run again")
        return content

    def summary(self) -> dict[str, Any] | None:
        """``summary.json``, or None while a run goes on. Raises ``InputError`` for a broken file."""
        return self._json("summary.json")

    def run(self) -> dict[str, Any] | None:
        return self._json("run.json")

    def table(self, name: str) -> pd.DataFrame:
        """One of ``TABLES``. Raises ``InputError`` for a missing or broken file."""
        file = self.path / f"{name}.parquet"
        try:
            return _read_parquet(file)
        except FileNotFoundError:
            raise InputError(f"{file}: missing; run again") from None
        except (OSError, ValueError, NotImplementedError, MemoryError) as error:
            raise InputError(f"{file}: cannot be read ({error}); delete it and run again") from None

    def gallery(self) -> pd.DataFrame:
        return self.table("gallery")

    @property
    def cells(self) -> CellFolder:
        own = self.path / "cells"
        return CellFolder(own, [of for of in sorted(self.path.parent.glob("*/cells")) if of != own])

    @contextmanager
    def alone(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Inside, no other process of this user's writes here; ``waiting`` is called where one has to end first.

        Where the file system knows no locks, several may; each file appears whole all the same.
        """
        lock = cache_dir() / "locks" / digest(str(self.path.resolve()))[:40]
        lock.parent.mkdir(parents=True, exist_ok=True)
        mine = FileLock(lock)
        try:
            mine.acquire(timeout=0)
        except Timeout:
            waiting()
            mine.acquire()
        except NotImplementedError:
            pass
        try:
            yield
        finally:
            mine.release()

    def _seal(self, run: Mapping[str, Any], new: Mapping[str, bytes] | None = None) -> str:
        return keyed_digest(self._content(run, new or {}))

    def _content(self, run: Mapping[str, Any], new: Mapping[str, bytes]) -> dict[str, Any]:
        """All that a seal stands for, and whose it is: results do not count in another submission's folder.

        ``new``: files by name that are still to be written.
        """
        unsealed = {key: value for key, value in run.items() if key != "seal"}
        summary = json.loads(new["summary.json"]) if "summary.json" in new else self._json("summary.json")
        files = {"run": unsealed, "summary": summary, "tables": self._hashes(new)}
        return {"place": [self.submission, self.spec], **files}

    def _hashes(self, new: Mapping[str, bytes]) -> dict[str, str]:
        found = {}
        for name in TABLES:
            file = self.path / f"{name}.parquet"
            content = new.get(file.name) or (file.read_bytes() if file.is_file() else b"")
            found[name] = hashlib.sha256(content).hexdigest() if content else ""
        return found

    @property
    def self_reported(self) -> bool:
        """Whether these files were not written by this user's fracbench."""
        run = self.run()
        return run is None or not _same(run.get("seal", ""), self._seal(run))

    def stamp(self, facts: Mapping[str, Any]) -> Path:
        """Note that these very files were verified by this user's fracbench; the file it is noted in."""
        file = self.path / "verified.json"
        write_atomic(file, _json_bytes({**facts, "seal": keyed_digest(self._stamped(facts))}))
        return file

    def _stamped(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"verified": dict(facts), **self._content(self.run() or {}, {})}

    @property
    def verified(self) -> dict[str, Any] | None:
        """What ``verify`` noted of these very files; None where it did not, or they were changed since."""
        try:
            found = json.loads((self.path / "verified.json").read_text(encoding="utf-8"))
            facts = {key: value for key, value in found.items() if key != "seal"}
            genuine = _same(found["seal"], keyed_digest(self._stamped(facts)))
        except (OSError, ValueError, KeyError, AttributeError, RecursionError):
            return None
        return facts if genuine else None

    def write(self, tables: Mapping[str, pd.DataFrame], run: dict[str, Any], summary: dict[str, Any]) -> None:
        """Write all files of a finished run, or where one cannot be written, none; ``run.json`` marks it as whole.

        Raises ``OSError`` that names the file.
        """
        made = {"summary.json": _json_bytes(summary)}
        for name in TABLES:
            buffer = io.BytesIO()
            tables[name].to_parquet(buffer, index=False)
            made[f"{name}.parquet"] = buffer.getvalue()
        self._write(made, run)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write the recomputed summary of results; those that are ours are sealed again."""
        run, made = self.run(), {"summary.json": _json_bytes(summary)}
        if run is None or self.self_reported:
            write_atomic(self.path / "summary.json", made["summary.json"])
        else:
            self._write(made, run)

    def _write(self, made: dict[str, bytes], run: Mapping[str, Any]) -> None:
        made |= {"run.json": _json_bytes({**run, "seal": self._seal(run, made)})}
        write_together({self.path / name: content for name, content in made.items()})


def _same(seal: object, ours: str) -> bool:
    return hmac.compare_digest(str(seal).encode(), ours.encode())


def same_json(one: Any, other: Any) -> bool:
    """Whether two summaries or records say the same once written."""
    return json.loads(_json_bytes(one)) == json.loads(_json_bytes(other))


def _json_bytes(content: Any) -> bytes:
    """A line for each entry, but one for each of many records: a large run has thousands of cells."""
    content = finite(content)
    if not isinstance(content, dict):
        return (json.dumps(content, indent=1) + "\n").encode()
    lines = (f" {json.dumps(name)}: {_value(of)}" for name, of in content.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _value(of: Any) -> str:
    if of and isinstance(of, list) and all(isinstance(record, dict) for record in of):
        return "[\n  " + ",\n  ".join(map(json.dumps, of)) + "\n ]"
    return json.dumps(of, indent=1)


def finite(content: Any) -> Any:
    """JSON has no NaN; undefined numbers are null."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(content) if np.isfinite(content) else None
    return content.item() if isinstance(content, np.generic) else content


def linked(path: Path, root: Path) -> bool:
    """Whether a link leads from ``root`` to ``path`` below it: what a stranger could point elsewhere."""
    below = path.relative_to(root)
    return any((root / part).is_symlink() for part in (below, *list(below.parents)[:-1]))


def _has_links(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_symlink() for entry in entries)
    except OSError:
        return False  # whoever reads it says why it cannot be read


def find_results(submissions: Path, results: Path | None) -> list[ResultFolder]:
    """All result folders, below ``results`` where given and beside the submissions; none that is, or holds, a link.

    Where both hold the same run of a submission, the one below ``results`` counts: nobody has two rows.
    """
    found: dict[tuple[str, str], ResultFolder] = {}
    places = ([(results, "*/*")] if results is not None else []) + [(submissions, "*/results/*")]
    for root, pattern in places:
        for path in sorted(root.glob(pattern)):
            if linked(path, root) or (path.is_dir() and _has_links(path)):
                continue
            if path.is_dir() and ((path / "summary.json").exists() or (path / "cells").is_dir()):
                owner = path.parent.parent.name if pattern.endswith("results/*") else path.parent.name
                found.setdefault((owner, path.name), ResultFolder(path, owner, path.name))
    return list(found.values())
