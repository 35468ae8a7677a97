"""The finished cells of a run that goes on: one file each, whole or not there."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fracbench.files import write_atomic
from fracbench.keyed import keyed_digest


@dataclass
class CellResult:
    """What one finished or failed cell holds: a record, tables, and images still to be explained."""

    record: dict[str, Any]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    images: np.ndarray | None = None

    @property
    def status(self) -> str:
        return str(self.record["status"])


class Unwritable(OSError):
    """A finished cell cannot be kept: it is no cell that failed, and to go on would be in vain."""


class CellFolder:
    """One immutable file per finished cell, named by the hash of everything that determines it."""

    def __init__(self, folder: Path, others: Sequence[Path] = ()) -> None:
        """``others`` are folders of cells that are read too: those of other specs of the same submission."""
        self.folder, self.others = folder, others

    def _path(self, identity: Mapping[str, Any]) -> Path:
        return self.folder / f"{keyed_digest(identity)[:40]}.zip"

    def read(self, identity: Mapping[str, Any]) -> CellResult | None:
        """The finished cell, or None; a damaged file counts as missing."""
        path = self._path(identity)
        places = (path, *(folder / path.name for folder in self.others))
        return next((found for place in places if (found := self._read(place)) is not None), None)

    def _read(self, path: Path) -> CellResult | None:
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    return None
                record = json.loads(archive.read("record.json"))
                tables = {
                    name.removesuffix(".parquet"): pd.read_parquet(io.BytesIO(archive.read(name)))
                    for name in archive.namelist()
                    if name.endswith(".parquet")
                }
                images = None
                if "images.npy" in archive.namelist():
                    images = np.load(io.BytesIO(archive.read("images.npy")), allow_pickle=False)
            whole = record["status"] != "failed"
        except Exception:  # one bit of a header may raise anything; what cannot be read is computed again
            return None
        return CellResult(record, tables, images) if whole else None

    def write(self, identity: Mapping[str, Any], result: CellResult) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("record.json", json.dumps(result.record))
            for name, table in result.tables.items():
                piece = io.BytesIO()
                table.to_parquet(piece, index=False)
                archive.writestr(f"{name}.parquet", piece.getvalue())
            if result.images is not None:
                piece = io.BytesIO()
                np.save(piece, result.images, allow_pickle=False)
                archive.writestr("images.npy", piece.getvalue())
        try:
            write_atomic(self._path(identity), buffer.getvalue())
        except OSError as error:
            raise Unwritable(f"{self.folder}: {error.strerror}") from error

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
