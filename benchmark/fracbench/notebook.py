"""``fracbench.evaluate``: the same evaluation from Python, for any torch module."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fracbench import registry, specs
from fracbench.alignment import metric_refs
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.data import check
from fracbench.environment import environment, pick_device, prepare
from fracbench.errors import InputError
from fracbench.keyed import digest
from fracbench.models import guard
from fracbench.overlap import compare
from fracbench.plan import Job
from fracbench.progress import Console
from fracbench.resolving import resolve
from fracbench.run_record import record_of
from fracbench.runner import evaluate_model
from fracbench.schema import Backend, PluginRef
from fracbench.store import ResultFolder
from fracbench.submission_schema import Training
from fracbench.submissions import check_name
from fracbench.summary import summarise


@dataclass(frozen=True, repr=False)
class Result:
    """One model under one benchmark.

    ``summary`` is the leaderboard row; ``predictions``, ``alignment`` and ``images`` hold a row per image
    (and attack, explainer); ``run`` is the record with resolved parameters and the status of each cell.
    """

    summary: dict[str, Any]
    run: dict[str, Any]
    tables: dict[str, pd.DataFrame]

    def __repr__(self) -> str:
        headline, n = self.summary["headline"], self.summary["n"]
        unranked = "; ".join(self.summary["unranked_because"])
        return (
            f"<fracbench.Result {self.run['submission']} on {self.run['folder']}: headline {headline['value']:.3f} "
            f"[{headline['low']:.3f}, {headline['high']:.3f}], {n['annotated']} + {n['normal']} images"
            + (f", unranked: {unranked}>" if unranked else ">")
        )

    @property
    def predictions(self) -> pd.DataFrame:
        return self.tables["predictions"]

    @property
    def alignment(self) -> pd.DataFrame:
        return self.tables["alignment"]

    @property
    def images(self) -> pd.DataFrame:
        return self.tables["images"]

    def save(self, folder: str | Path) -> Path:
        """Write a results folder, ``folder/<name>/<spec>`` (``<spec>-custom`` for a trial), that the board reads."""
        path = Path(folder) / self.run["submission"] / self.run["folder"]
        ResultFolder(path, self.run["submission"], self.run["folder"]).write(self.tables, self.run, self.summary)
        return path


def evaluate(
    model: object,
    benchmark: str = "phantom-v1",
    data: str | Path | None = None,
    device: str = "auto",
    attacks: Sequence[str | PluginRef] | None = None,
    explainers: Sequence[str | PluginRef] | None = None,
    metrics: Sequence[str] | None = None,
    *,
    metrics_backend: Backend = "fracbench",
    name: str = "notebook",
    limit: int | None = None,
    budget: float = 1.0,
    progress: bool = True,
) -> Result:
    """Evaluate a torch module that maps images (batch, 1, H, W) in [0, 1] to logits (batch, 2).

    A network with one logit z, shape (batch, 1), is read as (-z/2, z/2). ``name`` is its name on the board.
    With changed ``attacks`` or ``explainers`` (names of registered plugins, or ``PluginRef``), ``metrics`` (names),
    ``metrics_backend="quantus"``, ``limit`` or ``budget`` the result is custom and unranked. The headline's panel is
    those of the spec's panel that are among ``explainers``; where none is, all of ``explainers``. Without
    ``relevance_rank_accuracy`` among ``metrics`` there is no calibrated alignment. ``progress`` shows cells done and
    time left on standard error. A cell that fails is noted there and in ``run["cells"]``, and unranks the row.
    """
    from torch import nn

    check_name(name)
    spec: BenchmarkSpec = specs.load(benchmark)
    changed: dict[str, Any] = {}
    if attacks is not None:
        changed["attacks"] = registry.refs("attacks", attacks, spec.attacks)
    if explainers is not None:
        changed["explainers"] = registry.refs("explainers", explainers, spec.explainers)
        names = [ref.name for ref in changed["explainers"]]
        changed["panel"] = tuple(n for n in spec.panel if n in names) or tuple(names)
    if metrics is not None:
        refs = metric_refs(metrics)
        for ref in refs:
            if ref.params:
                raise InputError(
                    f"metrics: '{ref.name}' runs with the parameters it has by default; pass its name alone"
                )
        changed["metrics"] = tuple(ref.name for ref in refs)
    spec = BenchmarkSpec.model_validate(spec.model_copy(update=changed).model_dump())
    folder = None if data is None else str(data)
    job: Job = resolve(spec, data=folder, limit=limit, budget=budget, metrics_backend=metrics_backend)
    job = replace(job, custom=True) if changed else job
    device = pick_device(device)
    prepare(device)
    env = environment(job, device)
    check(job.dataset, job.batches, job.spec.image_size)
    home = next(iter(p.device for p in model.parameters()), None) if isinstance(model, nn.Module) else None
    try:
        moved = model.to(device) if isinstance(model, nn.Module) else model
        guarded = guard(moved, spec.image_size, device, env["micro_batch"], fold=True)
        with Console(*job.planned, submission=name) if progress else nullcontext() as shown:
            outcome = evaluate_model(guarded, job, device, progress=shown)
    finally:
        if isinstance(model, nn.Module) and home is not None:
            model.to(home)
    training = Training(data="not stated")
    fields = {
        "submission": name, "title": name, "authors": [], "control": False, "model": {"name": type(model).__name__},
        "licence": None, "contact": None, "links": [], "benchmarks": [],
        "training": training.model_dump(mode="json"), "weights_sha256": None, "reported": {},
        "overlap": compare(training, job),
    }  # fmt: skip
    run = record_of(fields, job, outcome, env, digest(job.identity()))
    return Result(summarise(run, outcome.tables), run, outcome.tables)
