"""Pictures made once and kept in the user's cache folder, in shards; the code that makes them is part of their name."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fracbench.files import cache_dir, write_atomic
from numpy.typing import NDArray

from fracbench_plugins.datasets.phantom.scene import SIDE, Lures, Picture

SHARD = 32
SECRET = 2**64  # seeds from here on are nobody's to see: names of files and folders must not give them away
DAMAGED = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zlib.error, zipfile.BadZipFile)


class Notes(NamedTuple):
    """All of a ``Picture`` but its pixels and masks."""

    marker: tuple[int, ...]
    kinds: tuple[str, ...]
    bones: tuple[str, ...]
    subtleties: tuple[float, ...]
    facts: dict[str, str | bool]


@cache
def _code() -> str:
    """Hash of the code that draws: pictures of an earlier version are never taken for this one's."""
    total = hashlib.sha256()
    for name in ("acquisition", "anatomy", "draw", "fractures", "geometry", "scene"):
        total.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return total.hexdigest()[:16]


def _path(seed: int, split: str, lures: Lures, number: int) -> Path:
    folder, name = cache_dir() / f"phantom-{_code()}", f"{split}-{'-'.join(map(repr, lures))}-{number:04d}.npz"
    if seed < SECRET:
        return folder / f"{seed}-{name}"
    return folder / f"private-{hashlib.sha256(f'shelf {seed}'.encode()).hexdigest()[:32]}" / name


def shard(seed: int, split: str, lures: Lures, number: int, make: Callable[[int], Picture]) -> list[Picture]:
    """Pictures ``32 number`` to ``32 number + 31`` of a split, from the cache where they are whole there."""
    path = _path(seed, split, lures, number)
    try:
        return _unpack(path.read_bytes())
    except DAMAGED:
        pictures = [make(number * SHARD + i) for i in range(SHARD)]
        with contextlib.suppress(OSError):  # a cache that cannot be written makes the next run slower, no more
            if seed >= SECRET:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, _pack(pictures))
        return pictures


def notes(seed: int, split: str, lures: Lures, number: int, pictures: Callable[[], list[Picture]]) -> list[Notes]:
    """What is noted of the pictures of a shard, without unpacking them; from ``pictures()`` where it is not whole."""
    try:
        with np.load(_path(seed, split, lures, number), allow_pickle=False) as stored:
            return _read_notes(stored["notes"])
    except DAMAGED:
        return [_noted(picture) for picture in pictures()]


def is_kept(seed: int, split: str, lures: Lures, number: int) -> bool:
    return _path(seed, split, lures, number).is_file()


def _noted(picture: Picture) -> Notes:
    return Notes(*(getattr(picture, name) for name in Notes._fields))


def _read_notes(packed: NDArray[np.uint8]) -> list[Notes]:
    rows = json.loads(packed.tobytes())
    return [Notes(tuple(m), tuple(k), tuple(b), tuple(s), facts) for m, k, b, s, facts in rows]


def _pack(pictures: list[Picture]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        pixels=np.stack([p.pixels for p in pictures]),
        masks=np.packbits(np.concatenate([p.instances for p in pictures])),
        notes=np.frombuffer(json.dumps([_noted(p) for p in pictures]).encode(), np.uint8),
    )
    return buffer.getvalue()


def _unpack(content: bytes) -> list[Picture]:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        pixels, packed, noted = stored["pixels"], stored["masks"], _read_notes(stored["notes"])
    counts = [len(note.kinds) for note in noted]
    masks = np.unpackbits(packed, count=sum(counts) * SIDE * SIDE).astype(bool).reshape(-1, SIDE, SIDE)
    starts = np.cumsum([0, *counts])
    return [Picture(pixels[i], masks[starts[i] : starts[i + 1]], **note._asdict()) for i, note in enumerate(noted)]
