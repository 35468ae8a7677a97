"""Cells that explain, and the one that attacks explanations."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from fracbench.bench import Bench
from fracbench.cell_store import CellResult
from fracbench.errors import Unsupported
from fracbench.plan import CLEAN, Cell, seed_of
from fracbench.robustness import Aimed, craft
from fracbench.rows import prediction_rows


def to_explain(bench: Bench, cell: Cell) -> tuple[torch.Tensor, torch.Tensor]:
    """The images (n, 1, H, W) that an explain cell is about, and their places in the batch, (n,)."""
    if cell.attack == CLEAN:
        return bench.data.images, torch.arange(len(bench.ids))
    of = replace(cell, kind="attack", explainer="")
    aimed = bench.job.spec.explanation_attack
    if aimed and cell.attack == aimed.name:
        of = replace(of, kind="explanation")
    if (found := bench.results.get(of)) and found.status == "unsupported":
        raise Unsupported(found.record["error"])
    crafted = bench.earlier(of)
    assert crafted.images is not None
    images, which = torch.from_numpy(crafted.images).to(bench.device), bench.explanations.annotated
    if of.kind == "explanation":
        kept = _answers_kept(bench, crafted)
        images, which = images[kept.to(bench.device)], which[kept]
    return images, which


def _answers_kept(bench: Bench, crafted: CellResult) -> torch.Tensor:
    """(n,) bool: of the images whose explanation was attacked, those that are answered as before."""
    clean = bench.earlier(Cell("clean", bench.batch)).tables["predictions"].set_index("image").correct
    rows = crafted.tables["predictions"]
    return torch.from_numpy(rows.correct.to_numpy(bool) == clean[rows.image].to_numpy(bool))


def attack_explanation(bench: Bench, cell: Cell) -> CellResult:
    """The annotated images with their explanation attacked; what that does to answers is no part of robustness."""
    at = bench.explanations.annotated.to(bench.device)
    generator = torch.Generator().manual_seed(seed_of(bench.job, cell))
    attack = Aimed(bench.job.attack_of(cell), bench.explanations.near[at])
    given = bench.data.images[at], bench.data.labels[at], bench.job.threat_of(cell), generator
    crafted = craft(bench.model, attack, *given, predictions=bench.predictions)
    ids = [bench.ids[i] for i in at.tolist()]
    unused = torch.full_like(crafted.margin, torch.nan)
    of = cell.kind, bench.job.threat_of(cell).epsilon, cell.attack
    rows = prediction_rows(ids, *of, crafted.margin, crafted.distance, unused)
    return CellResult({}, {"predictions": rows.assign(part="")}, crafted.images.cpu().numpy())


def explain(bench: Bench, cell: Cell) -> CellResult:
    if cell.explainer in bench.unfit:
        raise bench.unfit[cell.explainer]
    images, which = to_explain(bench, cell)
    if not len(which):  # the attack on the explanation changed every answer
        return CellResult({})
    found = bench.explanations
    explained = found.maps(cell, images, which)
    maps = explained.maps
    scores = found.scores(maps, which) | found.spread(maps, which)
    scores |= found.stability(cell, maps, which) | found.faithfulness(cell, maps)
    rows = pd.DataFrame(
        {
            "image": [bench.ids[i] for i in which.tolist()],
            "threat": CLEAN if cell.attack == CLEAN else bench.job.spec.threat.norm,
            "epsilon": 0.0 if cell.attack == CLEAN else bench.job.threat_at(cell.epsilon).epsilon,
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
            bench.picture(i, cell, "attributions", maps[row], cell.explainer)
            for row, i in enumerate(which.tolist())
            if bench.ids[i] in bench.job.gallery
        ]
    )
    return CellResult({"notes": dict(explained.notes)}, tables)
