"""The same weights under two names, or under one with another title, are evaluated once: tables are taken over."""

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
    """Name and outcome of a finished run with this model, weights, job and machine, made here.

    Of this submission, where only what it says of itself has changed since, or of one of ``others``. Without what third
    parties sent: that lowers the row it was sent for. None where there is no such run.
    """
    same = [other for other in others if other.entry.name != task.entry.name and other.evaluation == task.evaluation]
    for other in [task, *same]:
        if not (other.whole if other is task else other.finished):
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
