"""Computes the cells of one model on one logical batch."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from fracbench import checks, references
from fracbench.data import Batch, load
from fracbench.errors import Unsupported
from fracbench.explaining import Explanations
from fracbench.ladder import Brackets
from fracbench.models import Guarded, free_memory, out_of_memory, undisturbed
from fracbench.pictures import png
from fracbench.plan import CLEAN, Cell, Job, seed_of
from fracbench.robustness import RANDOM_PREDICTIONS, Aimed, Crafted, craft, margins, zero_gradient
from fracbench.rows import prediction_rows
from fracbench.store import CellResult
from fracbench.watch import time_limit

# A cell hangs when it takes LEAST seconds and FACTOR times what its passes took on the clean images.
LEAST, FACTOR, WITHOUT_MEASURE = 600.0, 50.0, 6 * 3600.0
LEAST_TOGETHER = 2  # DeepLIFT sends an image through together with its baseline
CRAFTED = ("attack", "ladder")  # kinds of cells that look for adversarial images under the norm of the reference


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

    def compute(self, cell: Cell) -> CellResult:
        """Run a cell; whatever goes wrong is recorded with its traceback and counts as failed."""
        start, before = time.perf_counter(), self.model.passes.copy()
        record: dict[str, Any] = {
            "kind": cell.kind, "batch": cell.batch, "attack": cell.attack, "epsilon": cell.epsilon,
            "norm": cell.norm, "explainer": cell.explainer, "images": len(self.ids),
            "status": "done", "error": "", "traceback": "", "notes": {},
        }  # fmt: skip
        methods: dict[str, Callable[[Cell], CellResult]] = {
            "clean": self._clean, "attack": self._attack, "ladder": self._ladder, "explain": self._explain,
            "further": self._further, "corruption": self._further, "symptoms": self._symptoms,
            "explanation": self._explanation,
        }  # fmt: skip
        result = CellResult(record)
        try:
            with time_limit(self._patience(cell)):
                result = self._in_memory(methods[cell.kind], cell)
            result.record = record | result.record
        except Unsupported as reason:
            # an attack that cannot run leaves a hole in the robustness: that is a failure
            status = "unsupported" if cell.kind in ("explain", "explanation") else "failed"
            record |= {"status": status, "error": str(reason)}
        except Exception as error:
            record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            record["traceback"] = traceback.format_exc()
        spent = self.model.passes.minus(before)
        result.record |= {
            "seconds": time.perf_counter() - start, "forward": spent.forward, "backward": spent.backward
        }  # fmt: skip
        return result

    def _in_memory(self, method: Callable[[Cell], CellResult], cell: Cell) -> CellResult:
        """The cell with as large a micro-batch as memory takes; the record says which."""
        while True:
            try:
                with self.model.limited(*self.job.passes(cell, self.predictions)):
                    result = method(cell)
                result.record |= {"micro_batch": self.model.micro_batch}
                return result
            except Exception as error:
                if not out_of_memory(error) or self.model.micro_batch <= LEAST_TOGETHER:
                    raise
            self.model.micro_batch = max(LEAST_TOGETHER, self.model.micro_batch // 2)
            self.__dict__.pop("explanations", None)  # what it keeps is cut by the old micro-batch
            free_memory()

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
        threat = self.job.threat_of(cell)
        given = crafted.margin, crafted.distance, crafted.adversarial_distance
        return prediction_rows(self.ids, threat.norm, threat.epsilon, cell.attack, *given).assign(part=part)

    def _clean(self, cell: Cell) -> CellResult:
        data, spec = self.data, self.job.spec
        with undisturbed(self.model):
            margin = margins(self.model, data.images, data.labels, self.predictions)
            zero = zero_gradient(self.model, data.images, data.labels, spec.threat.norm).cpu().numpy()
        nearest = torch.where(margin > 0, torch.inf, 0.0)
        rows = prediction_rows(self.ids, CLEAN, 0.0, CLEAN, margin, torch.zeros(len(margin)), nearest)
        rows["zero_gradient"] = zero
        rows["fracture_margin"] = torch.where(data.labels == 1, margin, -margin).cpu().numpy()
        chances = references.chance(data.masks, data.valid, spec.metrics)
        chances["hit"] = references.chance(self.explanations.near, data.valid, ["pointing_game"])["pointing_game"]
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

    def _craft(self, cell: Cell) -> tuple[Crafted, CellResult]:
        """The refereed attempts of a cell's attack, and the rows and cost of it and its parts."""
        data, threat = self.data, self.job.threat_of(cell)
        generator = torch.Generator().manual_seed(seed_of(self.job, cell))
        given = (data.images, data.labels, threat, generator)
        crafted = craft(self.model, self.job.attack_of(cell), *given, predictions=self.predictions)
        tables = [self._rows(cell, crafted)] + [self._rows(cell, of, name) for name, of in crafted.parts.items()]
        cost = {
            name: {"forward": of.spent.forward, "backward": of.spent.backward, "seconds": of.seconds}
            for name, of in crafted.parts.items()
        }
        return crafted, CellResult({"parts": cost}, {"predictions": pd.concat(tables)})

    def _further(self, cell: Cell) -> CellResult:
        return self._craft(cell)[1]

    def _symptoms(self, cell: Cell) -> CellResult:
        """Only images that nothing has broken yet are attacked: a smaller ball lies inside the larger one."""
        images, labels = self.data.images[: checks.IMAGES], self.data.labels[: checks.IMAGES]
        found = checks.symptoms(self.model, images, labels, self.predictions)
        earlier = [c for c in self.job.cells(cell.batch) if c.kind in ("clean", *CRAFTED)]
        rows = pd.concat([self._earlier(c).tables["predictions"] for c in earlier])
        nearest = rows.groupby("image").adversarial_distance.min().reindex(self.ids[: len(images)])
        open_ = torch.from_numpy(np.isinf(nearest.fillna(np.inf)).to_numpy(copy=True)).to(self.device)
        survivors: list[str] = []
        if open_.any():
            generator = torch.Generator().manual_seed(seed_of(self.job, cell))
            given = images[open_], labels[open_], self.job.spec.threat.norm, generator
            outlive = checks.outlive_grey(self.model, self.job.attack_of(cell), *given, predictions=self.predictions)
            survivors = [self.ids[i] for i in open_.nonzero()[outlive, 0].tolist()]
        return CellResult({"symptoms": found | {"survivors": survivors}})

    def _attack(self, cell: Cell) -> CellResult:
        data, threat = self.data, self.job.threat_of(cell)
        crafted, result = self._craft(cell)
        gallery = []
        for i, name in enumerate(self.ids):
            if name in self.job.gallery:
                change = (crafted.images[i, 0] - data.images[i, 0]) / threat.epsilon
                gallery.append(self._picture(i, cell, "radiograph", crafted.images[i, 0]))
                gallery.append(self._picture(i, cell, "perturbation", change / 2 + 0.5))
        images = crafted.images[self.explanations.annotated.to(crafted.images.device)].cpu().numpy()
        return CellResult(result.record, result.tables | {"gallery": pd.DataFrame(gallery)}, images)

    def _ladder(self, cell: Cell) -> CellResult:
        """Each image is attacked only where its outcome is not known from the clean image, the reference or a rung.

        What another attack's ladder survived says nothing about this one's; what it broke does.
        """
        job, rungs = self.job, self.job.rungs
        order = [*job.cells(cell.batch), *job.answering(cell.batch)]
        before = {c: self._earlier(c).tables["predictions"] for c in order[: order.index(cell)] if c.kind in CRAFTED}
        clean = self._earlier(Cell("clean", cell.batch)).tables["predictions"]
        at_reference = pd.concat([rows for c, rows in before.items() if c.kind == "attack"])
        nearest = pd.concat(before.values()).groupby("image").adversarial_distance.min()
        brackets = Brackets(rungs, torch.from_numpy(clean.correct.to_numpy(bool, copy=True)))
        unbroken = at_reference.groupby("image").correct.all().reindex(self.ids)
        robust = torch.from_numpy(unbroken.to_numpy(bool, copy=True))
        brackets.breaks(~robust, job.reference_rung)
        brackets.breaks_from(torch.from_numpy(nearest.reindex(self.ids).fillna(np.inf).to_numpy(copy=True)))
        brackets.survives(robust, job.reference_rung)
        tables = [self._carried(cell, rung) for rung in range(len(rungs))]

        def robust_at(rung: int, which: torch.Tensor) -> torch.Tensor:
            assert job.spec.threat.ladder is not None
            written = job.spec.threat.ladder.epsilons[rung]
            generator = torch.Generator().manual_seed(seed_of(job, replace(cell, epsilon=written)))
            keep = which.to(self.device)
            given = self.data.images[keep], self.data.labels[keep], job.threat_at(written), generator
            crafted = craft(self.model, job.attack_of(cell), *given, predictions=self.predictions)
            for column in ("margin", "distance", "adversarial_distance"):
                tables[rung].loc[which.numpy(), column] = getattr(crafted, column).cpu().numpy()
            tables[rung].loc[which.numpy(), "carried"] = False
            return crafted.robust

        brackets.place(robust_at)
        for rung, table in enumerate(tables):
            table["correct"] = (brackets.survived >= rung).numpy()
        return CellResult({}, {"predictions": pd.concat(tables)})

    def _carried(self, cell: Cell, rung: int) -> pd.DataFrame:
        """Rows of a rung before anything was attacked there."""
        nothing = torch.full((len(self.ids),), torch.nan)
        at = self.job.spec.threat.norm, self.job.rungs[rung]
        rows = prediction_rows(self.ids, *at, cell.attack, nothing, nothing, nothing)
        return rows.assign(carried=True, ladder=True)

    def to_explain(self, cell: Cell) -> tuple[torch.Tensor, torch.Tensor]:
        """The images (n, 1, H, W) that an explain cell is about, and their places in the batch, (n,)."""
        if cell.attack == CLEAN:
            return self.data.images, torch.arange(len(self.ids))
        of = replace(cell, kind="attack", explainer="")
        aimed = self.job.spec.explanation_attack
        if aimed and cell.attack == aimed.name:
            of = replace(of, kind="explanation")
        if (found := self.results.get(of)) and found.status == "unsupported":
            raise Unsupported(found.record["error"])
        crafted = self._earlier(of)
        assert crafted.images is not None
        images, which = torch.from_numpy(crafted.images).to(self.device), self.explanations.annotated
        if of.kind == "explanation":
            kept = self._answers_kept(crafted)
            images, which = images[kept.to(self.device)], which[kept]
        return images, which

    def _answers_kept(self, crafted: CellResult) -> torch.Tensor:
        """(n,) bool: of the images whose explanation was attacked, those that are answered as before."""
        clean = self._earlier(Cell("clean", self.batch)).tables["predictions"].set_index("image").correct
        rows = crafted.tables["predictions"]
        return torch.from_numpy(rows.correct.to_numpy(bool) == clean[rows.image].to_numpy(bool))

    def _explanation(self, cell: Cell) -> CellResult:
        """The annotated images with their explanation attacked; what that does to answers is no part of robustness."""
        at = self.explanations.annotated.to(self.device)
        generator = torch.Generator().manual_seed(seed_of(self.job, cell))
        attack = Aimed(self.job.attack_of(cell), self.explanations.near[at])
        given = self.data.images[at], self.data.labels[at], self.job.threat_of(cell), generator
        crafted = craft(self.model, attack, *given, predictions=self.predictions)
        ids = [self.ids[i] for i in at.tolist()]
        unused = torch.full_like(crafted.margin, torch.nan)
        of = cell.kind, self.job.threat_of(cell).epsilon, cell.attack
        rows = prediction_rows(ids, *of, crafted.margin, crafted.distance, unused)
        return CellResult({}, {"predictions": rows.assign(part="")}, crafted.images.cpu().numpy())

    def _explain(self, cell: Cell) -> CellResult:
        if cell.explainer in self.unfit:
            raise self.unfit[cell.explainer]
        images, which = self.to_explain(cell)
        if not len(which):  # the attack on the explanation changed every answer
            return CellResult({})
        found = self.explanations
        explained = found.maps(cell, images, which)
        maps = explained.maps
        scores = found.scores(maps, which) | found.spread(maps, which)
        scores |= found.stability(cell, maps, which) | found.faithfulness(cell, maps)
        rows = pd.DataFrame(
            {
                "image": [self.ids[i] for i in which.tolist()],
                "threat": CLEAN if cell.attack == CLEAN else self.job.spec.threat.norm,
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
            tables["references"] = found.references(explained.grid)
        tables["gallery"] = pd.DataFrame(
            [
                self._picture(i, cell, "attributions", maps[row], cell.explainer)
                for row, i in enumerate(which.tolist())
                if self.ids[i] in self.job.gallery
            ]
        )
        return CellResult({"notes": dict(explained.notes)}, tables)


def _plain(metadata: Any) -> str:
    return json.dumps({key: v.item() if isinstance(v, np.generic) else v for key, v in metadata.items()})
