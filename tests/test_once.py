"""Tables that are computed for the first model alone: what is read again, and by whom."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fracbench.once import once_for_all
from fracbench.resolving import resolve
from worlds import spec


@pytest.mark.usefixtures("blobs")
def test_a_table_is_computed_once_where_only_its_owner_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path))
    folder = tmp_path / "once"
    folder.mkdir(mode=0o755)  # as an earlier version left it
    computed: list[int] = []

    def compute() -> pd.DataFrame:
        computed.append(1)
        return pd.DataFrame({"a": [1.5]})

    job = resolve(spec())
    first, again = (once_for_all(job, ["x"], compute) for _ in range(2))
    assert first.equals(again) and len(computed) == 1 and len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
