"""The same weights under two names are evaluated once: the second run takes the tables of the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fracbench.errors import InputError
from fracbench.robust_scores import of_third_parties
from fracbench.runner import Outcome
from fracbench.store import TABLES

if TYPE_CHECKING:
    from fracbench.tasks import Task


def evaluated_already(task: Task, others: Iterable[Task]) -> tuple[str, Outcome] | None:
    """Name and outcome of a finished run of another submission with this model, weights, job and machine, made here.

    Without what third parties sent: that lowers the row it was sent for. None where there is no such run.
    """
    for other in others:
        if other.entry.name == task.entry.name or other.evaluation != task.evaluation or not other.finished:
            continue
        try:
            run, tables = other.folder.run(), {name: other.folder.table(name) for name in TABLES}
        except InputError:
            continue
        if run is None or run.get("evaluation") != task.evaluation:
            continue
        predictions = tables["predictions"]
        tables["predictions"] = predictions[~of_third_parties(predictions)].reset_index(drop=True)
        return other.entry.name, Outcome(tables, run["cells"], run["random"], run["seconds"], run["passes"])
    return None
