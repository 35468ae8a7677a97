"""What scores are read against: chance, and the best that an explainer's grid allows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from fracbench.alignment import FULL_GRID, METRICS, metrics_of, score, to_maps
from fracbench.schema import INSTANCES
from fracbench.tensors import Maps, Masks, Scores

DRAWS = 100


def chance(masks: Masks, valid: Masks, metrics: Sequence[str] | None = None) -> dict[str, Scores]:
    """What a map that knows nothing scores, of those metrics that say so; NaN for an empty mask."""
    empty = ~masks.flatten(1).any(1)
    known = {name: getattr(metric, "chance", None) for name, metric in metrics_of(metrics or METRICS).items()}
    return {name: of(masks, valid).masked_fill(empty, torch.nan) for name, of in known.items() if of is not None}


def tried_chance(
    masks: Masks, valid: Masks, near: Sequence[Masks], grid: str, metrics: Sequence[str], seed: int
) -> dict[str, Scores]:
    """The mean score of 100 uniform maps on an explainer's grid, of instances and of metrics that do not say theirs."""
    tried = [name for name, metric in metrics_of(metrics).items() if not hasattr(metric, "chance")]
    generator = torch.Generator().manual_seed(seed)
    marked = masks.flatten(1).any(1)
    means = {name: torch.full((len(masks),), torch.nan, device=masks.device) for name in (*tried, *INSTANCES)}
    if marked.any():
        given = (
            masks[marked],
            tried,
            valid[marked],
            [of for of, keep in zip(near, marked.tolist(), strict=True) if keep],
        )
        for of in means.values():
            of[marked] = 0
        for _ in range(DRAWS):
            noise = torch.rand(len(given[0]), *_shape(grid, masks), generator=generator).to(masks.device)
            for name, drawn in score(to_maps(noise, "positive", given[2])[0], *given).items():
                means[name][marked] += drawn / DRAWS
    return means


def ceiling_maps(masks: Masks, valid: Masks, grid: str) -> Maps:
    """The masks after a trip through an explainer's grid: what the annotation would be as its map."""
    attributions = masks.float()
    if grid != FULL_GRID:
        attributions = functional.adaptive_avg_pool2d(attributions[:, None], _shape(grid, masks))[:, 0]
    return to_maps(attributions, "positive", valid)[0]


def _shape(grid: str, masks: Masks) -> tuple[int, int]:
    if grid == FULL_GRID:
        return masks.shape[1], masks.shape[2]
    rows, columns = (int(side) for side in grid.split("x"))
    return rows, columns
