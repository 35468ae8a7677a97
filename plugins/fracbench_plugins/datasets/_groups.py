"""Groups of images that must stay together."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from fracbench.errors import InputError, did_you_mean

SPLITS = ("train", "val", "test")


def read(path: Path) -> list[list[str]]:
    """Groups of file names from a JSON file {"groups": [[name, ...], ...]}; ``InputError`` for another."""
    try:
        groups = json.loads(path.read_bytes())["groups"]
        if not all(isinstance(group, list) and all(isinstance(name, str) for name in group) for group in groups):
            raise TypeError("a group is a list of file names")
        return [group for group in groups if group]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise InputError(f'{path}: is no list of groups; write {{"groups": [["a.jpg", "b.jpg"]]}}') from error


def joined(names: Iterable[str], links: Iterable[Sequence[str]]) -> dict[str, str]:
    """Name of the group of each image: the first of all names that links tie to it, in sorted order.

    Links may name images that are not among ``names``; they still tie the others together.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for link in links:
        for name in link[1:]:
            first, last = sorted((root(link[0]), root(name)))
            parent[last] = first
    return {name: root(name) for name in names}


def checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """The shares of train, val and test; ``InputError`` where they are none."""
    shares = tuple(fractions)
    if len(shares) != len(SPLITS) or min(shares) < 0 or not math.isclose(sum(shares), 1):
        raise InputError(f"fractions are {list(shares)}; write three that sum to 1: [0.7, 0.1, 0.2]")
    return shares


def check_split(dataset: str, split: str) -> None:
    """``InputError`` with the nearest name for what is no split."""
    if split not in SPLITS:
        near = did_you_mean(split, SPLITS)
        raise InputError(f"{dataset} has no split '{split}'.{near} It has: {', '.join(SPLITS)}")


def split_of(seed: int, group: str, fractions: Sequence[float]) -> str:
    """The split that a group lies in, by its place."""
    bounds = list(itertools.accumulate(fractions))[:-1]
    return SPLITS[sum(position(seed, group) >= bound for bound in bounds)]


def position(seed: int, group: str) -> float:
    """A group's place in [0, 1), the same for ever: its first 8 bytes of SHA-256(``seed:group``)."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
