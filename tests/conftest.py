"""Fixtures shared by the tests; results and keys never touch the user's own folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from worlds import Blobs, Broken, Oracle, registered

torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder (with the key of the seals) that lasts for the whole test run."""
    folder = tmp_path_factory.getbasetemp() / "fracbench-cache"
    monkeypatch.setenv("FRACBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def blobs() -> Iterator[None]:
    with registered(
        blobs=("datasets", Blobs),
        oracle=("explainers", Oracle),
        broken=("explainers", Broken),
        brokenattack=("attacks", Broken),
    ):
        yield
