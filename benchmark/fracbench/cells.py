"""Computes the cells of one model on one logical batch."""

from __future__ import annotations

import io
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from fracbench import alignment
from fracbench.data import Batch, load
from fracbench.errors import Unsupported
from fracbench.models import Guarded, undisturbed
from fracbench.plan import CLEAN, Cell, Job, seed_of
from fracbench.robustness import RANDOM_PREDICTIONS, Crafted, craft, margins, zero_gradient
from fracbench.store import CellResult
from fracbench.tensors import Maps, Masks, Scores
from fracbench.watch import time_limit

GALLERY_SIDE = 128
# A cell hangs when it takes LEAST seconds and FACTOR times what its passes took on the clean images.
LEAST, FACTOR, WITHOUT_MEASURE = 600.0, 50.0, 6 * 3600.0


class EarlierFault(RuntimeError):
    """A cell this one builds on has failed."""


def png(plane: torch.Tensor) -> bytes:
    """A (H, W) plane in [0, 1] as an 8-bit grayscale PNG of 128 px."""
    pixels = (plane.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()
    image = Image.fromarray(pixels)
    if image.size != (GALLERY_SIDE, GALLERY_SIDE):
        image = image.resize((GALLERY_SIDE, GALLERY_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass
class Bench:
    """One model before one logical batch; ``results`` holds the cells of this batch so far."""

    job: Job
    model: Guarded
    batch: int
    device: str
    random: bool
    results: dict[Cell, CellResult] = field(default_factory=dict)

    @property
    def predictions(self) -> int:
        return RANDOM_PREDICTIONS if self.random else 1

    @cached_property
    def data(self) -> Batch:
        loaded = load(self.job.dataset, self.job.batches[self.batch], self.job.spec.image_size)
        on_device = {name: getattr(loaded, name).to(self.device) for name in ("images", "labels", "masks", "valid")}
        return replace(loaded, **on_device)

    @cached_property
    def near(self) -> Masks:
        """The masks with the hit's tolerance around them."""
        return alignment.dilate(self.data.masks, self.job.spec.tolerance_px)

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample in self.job.batches[self.batch]]

    @cached_property
    def explained(self) -> torch.Tensor:
        """(batch,) bool, on the CPU: annotated fractured images, which are explained under attack."""
        return torch.tensor([s.label == 1 and s.annotated for s in self.job.batches[self.batch]])

    def compute(self, cell: Cell) -> CellResult:
        """Run a cell; whatever goes wrong is recorded with its traceback and counts as failed."""
        start, before = time.perf_counter(), self.model.passes.copy()
        record: dict[str, Any] = {
            "kind": cell.kind, "batch": cell.batch, "attack": cell.attack, "epsilon": cell.epsilon,
            "explainer": cell.explainer, "status": "done", "error": "", "traceback": "",
        }  # fmt: skip
        methods: dict[str, Callable[[Cell], CellResult]] = {
            "clean": self._clean, "attack": self._attack, "rung": self._rung, "explain": self._explain,
        }  # fmt: skip
        result = CellResult(record)
        try:
            with self.model.limited(*self.job.passes(cell, self.predictions)), time_limit(self._patience(cell)):
                result = methods[cell.kind](cell)
            result.record = record | result.record
        except Unsupported as reason:
            # an attack that cannot run leaves a hole in the robustness: that is a failure
            status = "unsupported" if cell.kind == "explain" else "failed"
            record |= {"status": status, "error": str(reason)}
        except Exception as error:
            record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            record["traceback"] = traceback.format_exc()
        spent = self.model.passes.minus(before)
        result.record |= {
            "seconds": time.perf_counter() - start, "forward": spent.forward, "backward": spent.backward
        }  # fmt: skip
        return result

    def _patience(self, cell: Cell) -> float:
        """Seconds after which a cell is taken for hanging: many times what its passes should take."""
        clean = self.results.get(Cell("clean", self.batch))
        if clean is None or not clean.record["forward"]:
            return WITHOUT_MEASURE
        per_pass = clean.record["seconds"] / clean.record["forward"]
        return LEAST + FACTOR * per_pass * sum(self.job.passes(cell, self.predictions))

    def _earlier(self, cell: Cell) -> CellResult:
        found = self.results.get(cell)
        if found is None or found.status != "done":
            raise EarlierFault(f"the cell '{cell.label}' it builds on has failed")
        return found

    def _rows(self, cell: Cell, crafted: Crafted, part: str = "") -> pd.DataFrame:
        ladder = cell.kind == "rung"
        return self._prediction_rows(cell, self.ids, crafted.margin, crafted.distance, part, ladder)

    def _prediction_rows(
        self, cell: Cell, ids: list[str], margin: torch.Tensor, distance: torch.Tensor, part: str, ladder: bool
    ) -> pd.DataFrame:
        values = margin.cpu().numpy()
        return pd.DataFrame(
            {
                "image": ids,
                "threat": CLEAN if cell.attack == CLEAN else self.job.spec.threat.norm,
                "epsilon": 0.0 if cell.attack == CLEAN else self.job.threat_at(cell.epsilon).epsilon,
                "attack": cell.attack,
                "part": part,
                "margin": values,
                "correct": values > 0,
                "distance": distance.cpu().numpy(),
                "carried": False,
                "ladder": ladder,
            }
        )

    def _clean(self, cell: Cell) -> CellResult:
        data, spec = self.data, self.job.spec
        with undisturbed(self.model):
            margin = margins(self.model, data.images, data.labels, self.predictions)
            zero = zero_gradient(self.model, data.images, data.labels).cpu().numpy()
        rows = self._prediction_rows(cell, self.ids, margin, torch.zeros(len(margin)), "", False)
        rows["zero_gradient"] = zero
        rows["fracture_margin"] = torch.where(data.labels == 1, margin, -margin).cpu().numpy()
        chances = alignment.chance(data.masks, data.valid, spec.metrics)
        chances["hit"] = alignment.chance(self.near, data.valid, ["hit"])["hit"]
        samples = self.job.batches[self.batch]
        images = pd.DataFrame(
            {
                "image": self.ids,
                "label": [sample.label for sample in samples],
                "group": [sample.group for sample in samples],
                "annotated": [sample.annotated for sample in samples],
                "mask_area": data.masks.sum((1, 2)).cpu().numpy(),
                "instances": [len(instances) for instances in data.instances],
                "content": data.valid.sum((1, 2)).cpu().numpy(),
                "metadata": [_plain(sample.metadata) for sample in samples],
                **{f"chance_{name}": values.cpu().numpy() for name, values in chances.items()},
            }
        )
        gallery = []
        for i, name in enumerate(self.ids):
            if name in self.job.gallery:
                gallery.append(self._picture(i, cell, "radiograph", data.images[i, 0]))
                gallery.append(self._picture(i, cell, "mask", data.masks[i].float()))
        return CellResult({}, {"predictions": rows, "images": images, "gallery": pd.DataFrame(gallery)})

    def _picture(self, i: int, cell: Cell, kind: str, plane: torch.Tensor, explainer: str = "") -> dict[str, Any]:
        return {
            "image": self.ids[i], "label": self.job.batches[self.batch][i].label, "condition": CLEAN
            if cell.attack == CLEAN else "strongest", "attack": cell.attack, "kind": kind,
            "explainer": explainer, "png": png(plane),
        }  # fmt: skip

    def _attack(self, cell: Cell) -> CellResult:
        data = self.data
        threat = self.job.threat_at(cell.epsilon)
        generator = torch.Generator().manual_seed(seed_of(self.job, cell))
        given = (data.images, data.labels, threat, generator)
        crafted = craft(self.model, self.job.attacks[cell.attack], *given, predictions=self.predictions)
        tables = [self._rows(cell, crafted)]
        tables += [self._rows(cell, of, name) for name, of in crafted.parts.items()]
        gallery = []
        for i, name in enumerate(self.ids):
            if name in self.job.gallery:
                change = (crafted.images[i, 0] - data.images[i, 0]) / threat.epsilon
                gallery.append(self._picture(i, cell, "radiograph", crafted.images[i, 0]))
                gallery.append(self._picture(i, cell, "perturbation", change / 2 + 0.5))
        images = crafted.images[self.explained.to(crafted.images.device)].cpu().numpy()
        return CellResult({}, {"predictions": pd.concat(tables), "gallery": pd.DataFrame(gallery)}, images)

    def _rung(self, cell: Cell) -> CellResult:
        """Attack what no smaller rung has broken; the rest is carried."""
        earlier = [c for c in self.job.cells(self.batch) if c.kind in ("clean", "rung")]
        before = self._earlier(earlier[earlier.index(cell) - 1]).tables["predictions"]
        alive = torch.from_numpy(before["correct"].to_numpy(dtype=bool, copy=True))
        nothing = torch.full((len(alive),), torch.nan)
        rows = self._prediction_rows(cell, self.ids, nothing, nothing, "", True)
        rows["carried"] = ~alive.numpy()
        rows["correct"] = False
        if alive.any():
            keep = alive.to(self.device)
            attack = self.job.ladder_attack
            assert attack is not None
            generator = torch.Generator().manual_seed(seed_of(self.job, cell))
            crafted = craft(
                self.model, attack, self.data.images[keep], self.data.labels[keep],
                self.job.threat_at(cell.epsilon), generator, predictions=self.predictions,
            )  # fmt: skip
            rows.loc[alive.numpy(), "margin"] = crafted.margin.cpu().numpy()
            rows.loc[alive.numpy(), "distance"] = crafted.distance.cpu().numpy()
            rows.loc[alive.numpy(), "correct"] = crafted.robust.cpu().numpy()
        return CellResult({}, {"predictions": rows})

    def _explain(self, cell: Cell) -> CellResult:
        data, spec = self.data, self.job.spec
        if cell.attack == CLEAN:
            images, which = data.images, torch.arange(len(data.images))
        else:
            stored = self._earlier(Cell("attack", cell.batch, cell.attack, cell.epsilon)).images
            assert stored is not None
            images, which = torch.from_numpy(stored).to(self.device), self.explained.nonzero()[:, 0]
        at = which.to(self.device)
        masks, valid, near = data.masks[at], data.valid[at], self.near[at]
        explained = alignment.explain(self.job.explainers[cell.explainer], self.model, images, valid)
        scores = self._scores(explained.maps, masks, near, valid)
        ids = [self.ids[i] for i in which.tolist()]
        rows = pd.DataFrame(
            {
                "image": ids,
                "threat": CLEAN if cell.attack == CLEAN else spec.threat.norm,
                "epsilon": 0.0 if cell.attack == CLEAN else self.job.threat_at(cell.epsilon).epsilon,
                "attack": cell.attack,
                "explainer": cell.explainer,
                "grid": explained.grid,
                "blank": explained.blank.cpu().numpy(),
                **{name: values.cpu().numpy() for name, values in scores.items()},
            }
        )
        tables = {"alignment": rows}
        if cell.attack == CLEAN:
            ceilings = self._scores(alignment.ceiling_maps(masks, valid, explained.grid), masks, near, valid)
            columns = {f"ceiling_{name}_{explained.grid}": v.cpu().numpy() for name, v in ceilings.items()}
            tables["ceilings"] = pd.DataFrame({"image": ids, **columns})
        tables["gallery"] = pd.DataFrame(
            [
                self._picture(i, cell, "attributions", explained.maps[row], cell.explainer)
                for row, i in enumerate(which.tolist())
                if self.ids[i] in self.job.gallery
            ]
        )
        return CellResult({}, tables)

    def _scores(self, maps: Maps, masks: Masks, near: Masks, valid: Masks) -> dict[str, Scores]:
        """The spec's metrics, and the tolerant hit."""
        hit = alignment.peak_hit(maps, near).masked_fill(~masks.flatten(1).any(1), torch.nan)
        return {**alignment.score(maps, masks, self.job.spec.metrics, valid), "hit": hit}


def _plain(metadata: Any) -> str:
    return json.dumps({key: v.item() if isinstance(v, np.generic) else v for key, v in metadata.items()})
