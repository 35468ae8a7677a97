"""From attributions to scores: one adapter in front of every metric.

The metrics follow Quantus; the adapter closes the holes that would let a broken map score: blank,
constant and non-finite maps score 0, an empty mask is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fracbench import registry
from fracbench.contracts import AlignmentMetric, Explainer, MarginModel
from fracbench.errors import InputError
from fracbench.instances import instance_scores
from fracbench.models import Guarded, out_of_place, undisturbed
from fracbench.order import Order
from fracbench.schema import INSTANCES, Backend
from fracbench.tensors import Attributions, Images, Maps, Masks, Scores

METRICS = (
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "attribution_localisation",
    "top_k_intersection",
    "auc",
    "iou",
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
    even = maps.amax((1, 2)) == maps.amin((1, 2))  # before rounding in between makes a constant map uneven
    maps = upsample(maps, *valid.shape[-2:])
    lowest = maps.masked_fill(~valid, torch.inf).amin((1, 2))
    maps = maps * valid
    highest = maps.amax((1, 2))
    blank = ~finite | even | ~(highest > lowest)
    scale = torch.where(blank, 1, highest)
    return torch.where(blank[:, None, None], 0, maps / scale[:, None, None]), blank


def explain(
    explainer: Explainer, model: Guarded, images: Images, valid: Masks, kept: dict[int, Any] | None = None
) -> Explained:
    """Run an explainer on micro-batches and prepare its maps; the model is left as it was.

    ``kept`` holds what explainers of these same images share, by the first image of a micro-batch.
    """
    margin_model = MarginModel(model.network, through=model)
    # half a micro-batch, since DeepLIFT sends each image through together with its baseline
    chunk = max(1, model.micro_batch // 2)
    pieces = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        margin_model.kept = None if kept is None else kept.setdefault(start, {})
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


def check_network(explainer: Explainer, model: Guarded, images: Images) -> None:
    """Raise what an explainer that checks a network has against this one, ``Unsupported`` with the reason."""
    if (check := getattr(explainer, "check_network", None)) is not None:
        with undisturbed(model), out_of_place(model), torch.enable_grad():
            check(MarginModel(model.network, through=model), images.clone())


def metrics_of(names: Sequence[str]) -> Mapping[str, AlignmentMetric]:
    return {name: registry.make("metrics", name, {}) for name in names}


def score(
    maps: Maps,
    masks: Masks,
    metrics: Sequence[str] | None = None,
    valid: Masks | None = None,
    near: Sequence[Masks] | None = None,
    backend: Backend = "fracbench",
) -> dict[str, Scores]:
    """Score maps (batch, H, W), non-negative, against masks (batch, H, W) bool.

    ``valid`` (batch, H, W) bool is the rectangle of picture on each image; padding around it is cut away first, since
    pixels that no explainer may mark would lift the auc of any map. ``near``, one bool (n, H, W) for each image, are
    its instances with the tolerance around them; where given, ``instance_hit`` and ``instance_recall`` are scored too.
    ``backend="quantus"`` runs Quantus itself where a metric has it. Returns metric name to (batch,) scores: 0 for a
    blank, constant or non-finite map, NaN for an empty mask. Raises ``InputError`` for shapes that differ and for
    negative attributions, whose reading is a decision (``maps.abs()``, ``maps.clamp_min(0)``) that no metric can make.
    """
    if maps.shape != masks.shape or maps.ndim != 3:
        raise InputError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (batch, H, W)")
    if (maps[maps.flatten(1).isfinite().all(1)] < 0).any():
        raise InputError("maps must not be negative; pass maps.clamp_min(0) or maps.abs()")
    masks, chosen = masks.bool(), metrics_of(METRICS if metrics is None else metrics)
    result: dict[str, Scores] = {}
    for rows, box in _pictures(masks if valid is None else valid, whole=valid is None):
        cut = None if near is None else [near[i][box] for i in rows.tolist()]
        for name, scores in _score_pictures(maps[rows][box], masks[rows][box], chosen, cut, backend).items():
            result.setdefault(name, torch.empty(len(maps), device=maps.device))[rows] = scores
    return result


def _pictures(valid: Masks, whole: bool) -> list[tuple[Tensor, tuple[slice, slice, slice]]]:
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


def _score_pictures(
    maps: Maps,
    masks: Masks,
    metrics: Mapping[str, AlignmentMetric],
    near: Sequence[Masks] | None,
    backend: Backend,
) -> dict[str, Scores]:
    flat, marked = maps.flatten(1), masks.flatten(1).any(1)
    scorable = flat.isfinite().all(1) & (flat.amax(1) > flat.amin(1)) & marked
    kept, at = maps[scorable].float(), masks[scorable]
    found: dict[str, Scores] = {}
    if len(kept):
        order: list[Order] = []
        for name, metric in metrics.items():
            if backend == "quantus" and hasattr(metric, "reference"):
                found[name] = metric.reference(kept, at)
            elif hasattr(metric, "of_order"):
                order = order or [Order(kept, at)]
                found[name] = metric.of_order(order[0])
            else:
                found[name] = metric(kept, at)
        if near is not None:
            found |= instance_scores(kept, [of for of, keep in zip(near, scorable.tolist(), strict=True) if keep])
    result = {}
    for name in (*metrics, *(INSTANCES if near is not None else ())):
        scores = torch.zeros(len(maps), device=maps.device)
        if name in found:
            if found[name].shape != (len(kept),) or not torch.isfinite(found[name]).all():
                raise ExplainerFault(f"metric '{name}' returned {tuple(found[name].shape)} or a non-finite score")
            scores[scorable] = found[name].float()
        result[name] = scores.masked_fill(~marked, torch.nan)
    return result
