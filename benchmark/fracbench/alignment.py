"""From attributions to scores: one adapter in front of every metric, with chance and ceiling beside it.

The metrics follow Quantus; the adapter closes the holes that would let a broken map score: blank,
constant and non-finite maps score 0, an empty mask is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

from fracbench import registry
from fracbench.contracts import AlignmentMetric, Explainer, MarginModel
from fracbench.errors import InputError
from fracbench.models import Guarded, out_of_place, undisturbed
from fracbench.tensors import Attributions, Images, Maps, Masks, Scores

METRICS = (
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "attribution_localisation",
    "top_k_intersection",
    "auc",
)
FULL_GRID = "full"


class ExplainerFault(RuntimeError):
    """An explainer returned something that cannot be scored: the cell fails."""


@dataclass(frozen=True)
class Explained:
    """Maps ready to score, (batch, H, W), and the native ``grid`` they came from, such as ``8x8`` or ``full``.

    ``notes`` is what the explainer noted on the way, such as the layer it read.
    """

    maps: Maps
    grid: str
    blank: torch.Tensor  # (batch,) bool: blank, constant or non-finite
    notes: Mapping[str, str] = field(default_factory=dict)


def upsample(attributions: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear, from the explainer's grid to the image's."""
    if attributions.shape[-2:] == (height, width):
        return attributions
    return functional.interpolate(attributions[:, None], size=(height, width), mode="bilinear", align_corners=False)[
        :, 0
    ]


def to_maps(attributions: Attributions, sign: str, valid: Masks) -> tuple[Maps, torch.Tensor]:
    """Apply the sign policy, upsample, blank the padding, scale each map by its own maximum.

    Returns maps (batch, H, W) in [0, 1] and (batch,) bool of those that are blank: not finite, zero, or
    constant on what is not padding. A blank map is all zero.
    """
    if sign not in ("positive", "absolute"):
        raise ExplainerFault(f"unknown sign policy '{sign}'; an explainer declares positive or absolute")
    finite = attributions.flatten(1).isfinite().all(1)
    signed = torch.where(finite[:, None, None], attributions, 0).float()
    maps = signed.abs() if sign == "absolute" else signed.clamp_min(0)
    maps = upsample(maps, *valid.shape[-2:])
    lowest = maps.masked_fill(~valid, torch.inf).amin((1, 2))
    maps = maps * valid
    highest = maps.amax((1, 2))
    blank = ~finite | ~(highest > lowest)
    scale = torch.where(blank, 1, highest)
    return torch.where(blank[:, None, None], 0, maps / scale[:, None, None]), blank


def explain(explainer: Explainer, model: Guarded, images: Images, valid: Masks) -> Explained:
    """Run an explainer on micro-batches and prepare its maps; the model is left as it was."""
    margin_model = MarginModel(model.network, through=model)
    # half a micro-batch, since DeepLIFT sends each image through together with its baseline
    chunk = max(1, model.micro_batch // 2)
    pieces = []
    for part in images.split(chunk):
        with undisturbed(model), out_of_place(model), torch.enable_grad():
            piece = explainer(margin_model, part.clone())
        if not isinstance(piece, torch.Tensor) or piece.ndim != 3 or len(piece) != len(part):
            got = tuple(piece.shape) if isinstance(piece, torch.Tensor) else type(piece).__name__
            raise ExplainerFault(f"the explainer returned {got} for {len(part)} images; it owes (batch, h, w)")
        pieces.append(piece.detach())
    attributions = torch.cat(pieces)
    grid = tuple(attributions.shape[1:])
    maps, blank = to_maps(attributions, explainer.sign, valid)
    native = FULL_GRID if grid == tuple(images.shape[-2:]) else f"{grid[0]}x{grid[1]}"
    return Explained(maps, native, blank, dict(margin_model.notes))


def _metrics(names: Sequence[str] | None) -> Mapping[str, AlignmentMetric]:
    return {name: registry.make("metrics", name, {}) for name in names or METRICS}


def score(
    maps: Maps, masks: Masks, metrics: Sequence[str] | None = None, valid: Masks | None = None
) -> dict[str, Scores]:
    """Score maps (batch, H, W), non-negative, against masks (batch, H, W) bool.

    ``valid`` (batch, H, W) bool is the rectangle of picture on each image; padding around it is cut away
    first, since pixels that no explainer may mark would lift the auc of any map. Returns metric name to
    (batch,) scores: 0 for a blank, constant or non-finite map, NaN for an empty mask. Raises ``InputError``
    for shapes that differ and for negative attributions, whose reading is a decision (``maps.abs()`` or
    ``maps.clamp_min(0)``) that no metric can make.
    """
    if maps.shape != masks.shape or maps.ndim != 3:
        raise InputError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (batch, H, W)")
    if (maps[maps.flatten(1).isfinite().all(1)] < 0).any():
        raise InputError("maps must not be negative; pass maps.clamp_min(0) or maps.abs()")
    masks = masks.bool()
    chosen = _metrics(metrics)
    result = {name: torch.empty(len(maps), device=maps.device) for name in chosen}
    for rows, box in _pictures(masks if valid is None else valid, whole=valid is None):
        part = _score_pictures(maps[rows][box], masks[rows][box], chosen)
        for name, scores in part.items():
            result[name][rows] = scores
    return result


def _pictures(valid: Masks, whole: bool) -> list[tuple[torch.Tensor, tuple[slice, slice, slice]]]:
    """Images grouped by their rectangle of picture: (row numbers, the box to cut out)."""
    everything = (slice(None), slice(None), slice(None))
    if whole:
        return [(torch.arange(len(valid), device=valid.device), everything)]
    edges = []
    for axis in (2, 1):
        there = valid.any(axis).int()
        edges += [there.argmax(1), there.shape[1] - there.flip(1).argmax(1)]
    boxes, group = torch.stack(edges, 1).unique(dim=0, return_inverse=True)
    return [
        ((group == i).nonzero()[:, 0], (slice(None), slice(top, bottom), slice(left, right)))
        for i, (top, bottom, left, right) in enumerate(boxes.tolist())
    ]


def _score_pictures(maps: Maps, masks: Masks, metrics: Mapping[str, AlignmentMetric]) -> dict[str, Scores]:
    flat, marked = maps.flatten(1), masks.flatten(1).any(1)
    scorable = flat.isfinite().all(1) & (flat.amax(1) > flat.amin(1)) & marked
    result = {}
    for name, metric in metrics.items():
        scores = torch.zeros(len(maps), device=maps.device)
        if scorable.any():
            values = metric(maps[scorable].float(), masks[scorable])
            if values.shape != (int(scorable.sum()),) or not torch.isfinite(values).all():
                raise ExplainerFault(f"metric '{name}' returned {tuple(values.shape)} or a non-finite score")
            scores[scorable] = values.float()
        result[name] = scores.masked_fill(~marked, torch.nan)
    return result


def dilate(masks: Masks, tolerance: float) -> Masks:
    """Every pixel within ``tolerance`` pixels (Euclidean) of the mask."""
    near = [
        distance_transform_edt(~mask) <= tolerance if mask.any() else np.zeros_like(mask)
        for mask in masks.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(near)).to(masks.device)


def peak_hit(maps: Maps, near: Masks) -> Scores:
    """Share of a map's peak pixels inside ``near`` (the dilated mask): the headline's hit; 0 if blank."""
    highest = maps.amax((1, 2), keepdim=True)
    peaks = (maps == highest) & (highest > 0)
    return (peaks & near).sum((1, 2)) / peaks.sum((1, 2)).clamp_min(1)


def chance(masks: Masks, valid: Masks, metrics: Sequence[str] | None = None) -> dict[str, Scores]:
    """What a map that knows nothing scores: the mask's share of non-padding pixels, .5 for auc."""
    share = (masks & valid).sum((1, 2)) / valid.sum((1, 2))
    empty = ~masks.flatten(1).any(1)
    half = torch.full_like(share, 0.5)
    return {name: (half if name == "auc" else share).masked_fill(empty, torch.nan) for name in metrics or METRICS}


def ceiling_maps(masks: Masks, valid: Masks, grid: str) -> Maps:
    """The masks after a trip through an explainer's grid: what the annotation would be as its map."""
    attributions = masks.float()
    if grid != FULL_GRID:
        rows, columns = (int(side) for side in grid.split("x"))
        attributions = functional.adaptive_avg_pool2d(attributions[:, None], (rows, columns))[:, 0]
    return to_maps(attributions, "positive", valid)[0]
