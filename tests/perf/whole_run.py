"""All that ``run`` does with one model, in this process: every cell, tables and summary, into a folder that is gone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracbench.environment import environment
from fracbench.models import Guarded
from fracbench.plan import Job
from fracbench.progress import Progress
from fracbench.run_record import record_of
from fracbench.runner import Outcome, evaluate_model
from fracbench.store import ResultFolder
from fracbench.summary import summarise

UNTRAINED = {"submission": "untrained", "title": "untrained", "authors": [], "control": False, "model": {},
             "licence": None, "contact": None, "links": [], "benchmarks": [], "reported": {},
             "training": {"data": "nothing"}, "weights_sha256": None, "overlap": {}}  # fmt: skip


def whole_run(
    model: Guarded, job: Job, device: str, fields: Mapping[str, Any] = UNTRAINED, progress: Progress | None = None
) -> tuple[Outcome, dict[str, int]]:
    """The outcome, and the bytes of each file; ``fields`` are what ``run.json`` says of the submission.

    No cell may fail.
    """
    with tempfile.TemporaryDirectory() as temporary:
        # as deep as results lie, since what a folder beside it holds of the same cells would be read
        place = Path(temporary) / fields["submission"] / job.folder_name
        folder = ResultFolder(place, fields["submission"], job.folder_name)
        outcome = evaluate_model(model, job, device, folder=folder, identity={"model": "perf"}, progress=progress)
        assert not outcome.failed, outcome.failed[0]["error"]
        record = record_of(fields, job, outcome, environment(job, device), "perf")
        folder.write(outcome.tables, record, summarise(record, outcome.tables))
        return outcome, {file.name: file.stat().st_size for file in folder.path.iterdir() if file.is_file()}
