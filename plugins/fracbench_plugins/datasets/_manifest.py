"""The rows of a manifest.csv, and everything that can be said about them without opening an image."""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from fracbench.errors import InputError, did_you_mean

COLUMNS = ("image", "label", "mask", "group", "split")
_ANNOTATED = {"": True, "yes": True, "no": False}


@dataclass(frozen=True)
class Row:
    """One line of the manifest; ``image`` and ``mask`` are paths relative to the folder."""

    line: int
    image: str
    label: int
    mask: str
    group: str
    split: str
    annotated: bool
    metadata: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> str:
        """The row's content as text, whatever its line, its quoting or the order of columns."""
        content = {**vars(self), "metadata": dict(self.metadata)}
        del content["line"]
        return json.dumps(content, sort_keys=True)


@dataclass(frozen=True)
class Manifest:
    """The rows that can be used, and the faults of the others as (line, text)."""

    rows: tuple[Row, ...]
    faults: tuple[tuple[int, str], ...]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; a missing file, column or row raises ``InputError`` at once."""
    name = path.name
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; write one with the columns {','.join(COLUMNS)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            table = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except UnicodeDecodeError:
        raise InputError(f"{name}: is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: is not CSV ({error}); close every quote") from None
    table = [(line, cells) for line, cells in table if any(cells)]
    if not table:
        raise InputError(f"{name}: is empty; write the header {','.join(COLUMNS)} and a row for each image")
    line, header = table[0]
    _check_header(f"{name}:{line}", header)
    if len(table) == 1:
        raise InputError(f"{name}: has a header and no rows; write a row for each image")

    rows: list[Row] = []
    faults: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    for line, cells in table[1:]:
        if len(cells) != len(header):
            counts = f"{len(cells)} cells where the header has {len(header)}"
            found = [f"{cells[0]}: has {counts}; write one for each column"]
        else:
            row, found = _parse(line, dict(zip(header, cells, strict=True)))
            first = seen.setdefault(row.image, line)
            if row.image and first != line:
                found.append(f"{row.image}: is listed in row {first} already; keep one of the two rows")
            if not found:
                rows.append(row)
        faults += [(line, f"{name}:{line}: {text}") for text in found]
    return Manifest(tuple(rows), tuple(faults))


def _check_header(where: str, header: list[str]) -> None:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise InputError(f"{where}: columns are not separated by commas; save it as comma-separated CSV")
    extra = [column for column in header if column not in COLUMNS]
    faults = [
        f"{where}: column '{column}' is missing; add it to the header.{did_you_mean(column, extra)}"
        for column in COLUMNS
        if column not in header
    ]
    twice = sorted({column for column in header if header.count(column) > 1})
    faults += [f"{where}: column '{column}' is there twice; rename one of the two" for column in twice]
    if faults:
        raise InputError(*faults)


def _parse(line: int, cells: dict[str, str]) -> tuple[Row, list[str]]:
    image, image_faults = _inside(cells["image"])
    mask, mask_faults = _inside(cells["mask"]) if cells["mask"] else ("", [])
    faults = [] if cells["image"] else ["the image cell is empty; write the path of an image file"]
    faults += image_faults + mask_faults

    label, annotated = cells["label"], _ANNOTATED.get(cells.get("annotated", ""))
    if label not in ("0", "1"):
        faults.append(f"{image}: label is '{label}'; write 0 (no fracture) or 1 (fracture)")
    if annotated is None:
        faults.append(f"{image}: annotated is '{cells['annotated']}'; write yes or no")
    elif label == "1" and annotated and not mask:
        faults.append(f"{image}: label is 1 and there is no mask; name a mask file, or write annotated=no")
    elif not annotated and mask:
        faults.append(f"{image}: annotated is no and there is a mask; write annotated=yes or clear the mask")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", cells["split"]):
        said = f"'{cells['split']}'" if cells["split"] else "empty"
        faults.append(f"{image}: split is {said}; write a name such as train, val or test")
    row = Row(
        line=line,
        image=image,
        label=int(label == "1"),
        mask=mask,
        group=cells["group"] or image,
        split=cells["split"],
        annotated=label != "1" or annotated is not False,
        metadata={name: text for name, text in cells.items() if name not in (*COLUMNS, "annotated")},
    )
    return row, faults


def _inside(written: str) -> tuple[str, list[str]]:
    """The path in its simplest spelling, and a fault where it leads out of the folder."""
    path = posixpath.normpath(written) if written else ""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    if absolute or PureWindowsPath(path).parts[:1] == ("..",):
        return path, [f"{written}: lies outside the folder; write a path relative to the manifest's folder"]
    return path, []
