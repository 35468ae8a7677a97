"""Explains the images of one logical batch, and scores what comes out, each thing once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from fracbench import alignment, given, references
from fracbench.alignment import FULL_GRID, Explained
from fracbench.data import Batch
from fracbench.faithfulness import faithfulness
from fracbench.instances import dilate, peak_hit
from fracbench.models import Guarded
from fracbench.once import once_for_all
from fracbench.plan import CLEAN, Cell, Job
from fracbench.schema import FAITHFULNESS, STABILITY
from fracbench.spread import anatomy, spread
from fracbench.stability import stability
from fracbench.tensors import Images, Maps, Masks, Scores


@dataclass
class Explanations:
    """One model's explanations of the batch ``number``, whose images are ``data``.

    ``which`` is always the places (n,) in the batch of the images that something is about.
    """

    job: Job
    model: Guarded
    number: int
    data: Batch
    _clean: dict[str, Maps] = field(default_factory=dict)
    _shared: tuple[str, dict[Any, Any]] = field(default_factory=lambda: ("", {}))  # by which attack, and what

    @cached_property
    def near_instances(self) -> list[Masks]:
        """For each image its instances, (n, H, W), with the hit's tolerance around them."""
        return [dilate(of.to(self.data.masks.device), self.job.spec.tolerance_px) for of in self.data.instances]

    @cached_property
    def near(self) -> Masks:
        """The masks with the hit's tolerance around them."""
        return torch.stack([of.any(0) for of in self.near_instances])

    @cached_property
    def annotated(self) -> Tensor:
        """Places of the annotated fractured images, which are explained under attack."""
        return ((self.data.labels.cpu() == 1) & self.data.annotated).nonzero()[:, 0]

    @cached_property
    def _beside(self) -> Masks:
        """What of the pictures is no anatomy."""
        return self.data.valid & ~anatomy(self.data.images, self.data.valid, self.job.spec.tolerance_px)

    def maps(self, cell: Cell, images: Images, which: Tensor) -> Explained:
        """The maps of ``images`` by the cell's explainer; those of one attack share what they need of the network."""
        if cell.explainer in self.job.spec.given:
            return self._given(cell.explainer)
        if self._shared[0] != cell.attack:
            self._shared = cell.attack, {}
        if cell.attack != CLEAN:
            return self._explain(cell.explainer, images, which, self._shared[1])
        return self._all_clean(cell.explainer, images)

    def _all_clean(self, explainer: str, images: Images) -> Explained:
        """The annotated images by themselves, so that their maps are the same wherever they are computed again."""
        others = (~torch.isin(torch.arange(len(images)), self.annotated)).nonzero()[:, 0]
        parts = []
        for name, which in (("annotated", self.annotated), ("others", others)):
            if len(which):
                kept = self._shared[1].setdefault(name, {})
                parts.append((which, self._explain(explainer, images[which.to(images.device)], which, kept)))
        if parts[0][0] is self.annotated:
            self._clean[explainer] = parts[0][1].maps
        back = torch.argsort(torch.cat([which for which, _ in parts])).to(images.device)
        maps, blank = (torch.cat([getattr(of, name) for _, of in parts])[back] for name in ("maps", "blank"))
        return Explained(maps, parts[0][1].grid, blank, parts[0][1].notes)

    def _explain(self, explainer: str, images: Images, which: Tensor, kept: dict[int, Any] | None) -> Explained:
        valid = self.data.valid[which.to(images.device)]
        return alignment.explain(self.job.explainers[explainer], self.model, images, valid, kept)

    def _given(self, name: str) -> Explained:
        job, data, side = self.job, self.data, self.job.spec.image_size
        if name == "reader":
            maps, who = given.reader(job.dataset, job.batches[self.number], data, self.near)
            notes = {"reader": who}
        else:
            known = once_for_all(job, [name], lambda: _table(given.mean_mask(job.dataset, side, job.spec.seed)))
            maps, notes = torch.from_numpy(known.to_numpy(copy=True))[None].expand(len(data.ids), -1, -1), {}
        scaled, blank = alignment.to_maps(maps.to(data.images.device), "positive", data.valid)
        return Explained(scaled, FULL_GRID, blank, notes)

    def scores(self, maps: Maps, which: Tensor) -> dict[str, Scores]:
        """The spec's metrics, those of instances, and the tolerant hit."""
        at = which.to(maps.device)
        masks, valid, near = self.data.masks[at], self.data.valid[at], [self.near_instances[i] for i in which.tolist()]
        scored = alignment.score(maps, masks, self.job.spec.metrics, valid, near, backend=self.job.metrics_backend)
        hit = peak_hit(maps, self.near[at]).masked_fill(~masks.flatten(1).any(1), torch.nan)
        return {**scored, "hit": hit}

    def spread(self, maps: Maps, which: Tensor) -> dict[str, Scores]:
        """Where the mass lies."""
        at = which.to(maps.device)
        return spread(maps, self._beside[at], self.data.valid[at])

    def stability(self, cell: Cell, maps: Maps, which: Tensor) -> dict[str, Scores]:
        """How much the maps of attacked images have in common with those of the clean ones."""
        if cell.attack == CLEAN:
            return {name: maps.new_full((len(maps),), torch.nan) for name in STABILITY}
        if cell.explainer not in self._clean:  # the clean cell came from an earlier run
            images, before = self.data.images[self.annotated.to(maps.device)], self.model.passes.copy()
            self._clean[cell.explainer] = self._explain(cell.explainer, images, self.annotated, None).maps
            self.model.passes = before  # they were counted then
        places = torch.searchsorted(self.annotated, which).to(maps.device)
        return stability(self._clean[cell.explainer][places], maps, self.data.valid[which.to(maps.device)])

    def faithfulness(self, cell: Cell, maps: Maps) -> dict[str, Scores]:
        """Of the clean images that are in the sample; NaN for all others."""
        scores = {name: maps.new_full((len(maps),), torch.nan) for name in FAITHFULNESS}
        sampled = [i for i, name in enumerate(self.data.ids) if name in self.job.faithfulness_sample]
        if cell.attack == CLEAN and sampled and cell.explainer not in self.job.spec.given:
            images, valid = self.data.images[sampled], self.data.valid[sampled]
            for name, values in faithfulness(self.model, images, maps[sampled], valid).items():
                scores[name][sampled] = values
        return scores

    def references(self, grid: str) -> pd.DataFrame:
        """What scores on a grid are read against, for each image: the same for every model, so computed once."""
        return once_for_all(self.job, ["references", self.number, grid], lambda: self._references(grid))

    def _references(self, grid: str) -> pd.DataFrame:
        data, spec = self.data, self.job.spec
        everything = torch.arange(len(data.ids))
        ceilings = self.scores(references.ceiling_maps(data.masks, data.valid, grid), everything)
        asked = data.masks, data.valid, self.near_instances, grid, spec.metrics, spec.seed + self.number
        kinds = {"ceiling": ceilings, "chance": references.tried_chance(*asked)}
        columns = {f"{kind}_{name}_{grid}": v.cpu().numpy() for kind, of in kinds.items() for name, v in of.items()}
        return pd.DataFrame({"image": data.ids, **columns})


def _table(plane: Maps) -> pd.DataFrame:
    """One map (1, H, W) as a table, a column for each of its own."""
    return pd.DataFrame(plane[0].numpy(), columns=[str(i) for i in range(plane.shape[-1])])
