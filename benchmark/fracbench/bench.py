"""One model before one logical batch, and what its cells have found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch

from fracbench.cell_store import CellResult
from fracbench.data import Batch, load
from fracbench.explaining import Explanations
from fracbench.models import Guarded
from fracbench.pictures import png
from fracbench.plan import CLEAN, Cell, Job
from fracbench.robustness import RANDOM_PREDICTIONS, Crafted
from fracbench.rows import prediction_rows


class EarlierFault(RuntimeError):
    """A cell this one builds on has failed."""


@dataclass
class Bench:
    """One model before one logical batch; ``results`` holds the cells of this batch so far."""

    job: Job
    model: Guarded
    batch: int
    device: str
    random: bool
    unfit: Mapping[str, Exception] = field(default_factory=dict)  # explainers that their check of the network refuses
    results: dict[Cell, CellResult] = field(default_factory=dict)

    @property
    def predictions(self) -> int:
        return RANDOM_PREDICTIONS if self.random else 1

    @cached_property
    def data(self) -> Batch:
        loaded = load(self.job.dataset, self.job.batches[self.batch], self.job.spec.image_size)
        on_device = {name: getattr(loaded, name).to(self.device) for name in ("images", "labels", "masks", "valid")}
        return replace(loaded, **on_device)

    def release(self) -> None:
        """Let go of what a batch takes in memory; it is loaded again where it is needed again."""
        for name in ("data", "explanations"):
            self.__dict__.pop(name, None)
        for result in self.results.values():
            result.images = None
            result.tables = {name: rows for name, rows in result.tables.items() if name == "predictions"}

    @cached_property
    def explanations(self) -> Explanations:
        return Explanations(self.job, self.model, self.batch, self.data)

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample in self.job.batches[self.batch]]

    def earlier(self, cell: Cell) -> CellResult:
        found = self.results.get(cell)
        if found is None or found.status != "done":
            raise EarlierFault(f"the cell '{cell.label}' it builds on has failed")
        return found

    def rows(self, cell: Cell, crafted: Crafted, part: str = "") -> pd.DataFrame:
        threat = self.job.threat_of(cell)
        given = crafted.margin, crafted.distance, crafted.adversarial_distance
        return prediction_rows(self.ids, threat.norm, threat.epsilon, cell.attack, *given).assign(part=part)

    def picture(self, i: int, cell: Cell, kind: str, plane: torch.Tensor, explainer: str = "") -> dict[str, Any]:
        return {
            "image": self.ids[i], "label": self.job.batches[self.batch][i].label, "condition": CLEAN
            if cell.attack == CLEAN else "strongest", "attack": cell.attack, "kind": kind,
            "explainer": explainer, "png": png(plane),
        }  # fmt: skip
