"""Computes the cells of one model on one logical batch, within memory and time, and records what goes wrong."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from fracbench.bench import Bench
from fracbench.cell_store import CellResult
from fracbench.errors import Unsupported
from fracbench.explained_cells import attack_explanation, explain
from fracbench.models import out_of_memory, smaller
from fracbench.plan import Cell
from fracbench.robust_cells import attack, clean, further, ladder, symptoms
from fracbench.watch import time_limit

# A cell hangs when it takes LEAST seconds and FACTOR times what its passes took on the clean images.
LEAST, FACTOR, WITHOUT_MEASURE = 600.0, 50.0, 6 * 3600.0
COMPUTE: Mapping[str, Callable[[Bench, Cell], CellResult]] = {
    "clean": clean, "attack": attack, "ladder": ladder, "explain": explain, "further": further, "corruption": further,
    "symptoms": symptoms, "explanation": attack_explanation,
}  # fmt: skip


def record_of(cell: Cell, images: int, error: str = "") -> dict[str, Any]:
    """What the record of a cell holds whatever it does; with an ``error``, of one that failed before it could begin."""
    return {
        "kind": cell.kind, "batch": cell.batch, "attack": cell.attack, "epsilon": cell.epsilon,
        "norm": cell.norm, "explainer": cell.explainer, "images": images,
        "status": "failed" if error else "done", "error": error, "traceback": "", "notes": {},
        "seconds": 0.0, "forward": 0, "backward": 0,
    }  # fmt: skip


def compute(bench: Bench, cell: Cell, seconds: float) -> CellResult:
    """Run a cell for at most so many seconds; whatever goes wrong is recorded with its traceback, as failed."""
    start, before = time.perf_counter(), bench.model.passes.copy()
    record = record_of(cell, len(bench.ids))
    result = CellResult(record)
    try:
        with time_limit(seconds):
            result = _in_memory(bench, COMPUTE[cell.kind], cell)
        result.record = record | result.record
    except Unsupported as reason:
        # an attack that cannot run leaves a hole in the robustness: that is a failure
        status = "unsupported" if cell.kind in ("explain", "explanation") else "failed"
        record |= {"status": status, "error": str(reason)}
    except Exception as error:
        what = "out of memory" if out_of_memory(error) else type(error).__name__
        record |= {"status": "failed", "error": f"{what}: {error}"}
        record["traceback"] = traceback.format_exc()
    spent = bench.model.passes.minus(before)
    result.record |= {
        "seconds": time.perf_counter() - start, "forward": spent.forward, "backward": spent.backward
    }  # fmt: skip
    return result


def _in_memory(bench: Bench, method: Callable[[Bench, Cell], CellResult], cell: Cell) -> CellResult:
    """The cell with as large a micro-batch as memory takes; the record says which."""
    before = bench.model.passes.copy()
    while True:
        try:
            with bench.model.limited(*bench.job.passes(cell, bench.predictions)):
                result = method(bench, cell)
            result.record |= {"micro_batch": bench.model.micro_batch}
            return result
        except Exception as error:
            if not smaller(bench.model, error):
                raise
            bench.model.passes = before.copy()  # the record says what the try that counts took
        bench.__dict__.pop("explanations", None)  # what it keeps is cut by the old micro-batch


def patience(bench: Bench, cell: Cell) -> float:
    """Seconds after which a cell is taken for hanging: many times what its passes should take."""
    clean = bench.results.get(Cell("clean", bench.batch))
    if clean is None or not clean.record["forward"]:
        return WITHOUT_MEASURE
    per_pass = clean.record["seconds"] / clean.record["forward"]
    return LEAST + FACTOR * per_pass * sum(bench.job.passes(cell, bench.predictions))
