"""What a job needs of no model is computed for the first one, and read from the user's cache folder by the others."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pandas as pd

from fracbench import registry
from fracbench.environment import code_of, versions
from fracbench.files import cache_dir, write_atomic
from fracbench.keyed import keyed_digest
from fracbench.plan import Job


def once_for_all(job: Job, what: list[object], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table called ``what`` of this job under this code, computed where nobody has yet."""
    metrics = [registry.load("metrics", name) for name in job.spec.metrics]
    identity = {**job.identity(), "what": what, "versions": versions(), "code": code_of([job.dataset, *metrics])}
    file = cache_dir() / "once" / f"{keyed_digest(identity)[:40]}.parquet"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)  # a private track's reference masks are among them; an older folder may stand open
        return pd.read_parquet(file)
    except (OSError, ValueError):
        pass
    made = io.BytesIO()
    table = compute()
    table.to_parquet(made, index=False)
    with contextlib.suppress(OSError):  # a full disk makes the next model slower, no more
        write_atomic(file, made.getvalue())
    return table
