"""From attributions to scores: one adapter in front of every metric.

The metrics follow Quantus; the adapter closes the holes that would let a broken map score: blank,
constant and non-finite maps score 0, an empty mask is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fracbench import registry
from fracbench.contracts import SIGNS, AlignmentMetric, Explainer, MarginModel
from fracbench.errors import InputError
from fracbench.instances import instance_scores
from fracbench.models import Guarded
from fracbench.order import Order
from fracbench.schema import INSTANCES, Backend, PluginRef
from fracbench.scorable import check_backend, check_maps, check_masks, check_near
from fracbench.tensors import Attributions, Images, Maps, Masks, Scores
from fracbench.undisturbed import out_of_place, undisturbed

METRICS = (
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "attribution_localisation",
    "top_k_intersection",
    "auc",
    "iou",
)
BESIDE = {  # what looks like a metric and is scored without being asked for
    "hit": "fracbench.instances.peak_hit(maps, near) computes it",
    **dict.fromkeys(INSTANCES, "score computes it where near= is given"),
}
FULL_GRID = "full"
Box = tuple[slice, slice, slice]
EVERYWHERE: Box = (slice(None), slice(None), slice(None))


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


def unit(maps: Tensor) -> Maps:
    """Non-negative maps (batch, H, W) over their own maxima, float32; all zero where a value is not finite.

    What is wider than float32, which ends at 1e-38, is divided first.
    """
    maps = maps if maps.dtype == torch.float64 else maps.float()
    highest = maps.amax((1, 2), keepdim=True)
    there = maps.isfinite().all(2, keepdim=True).all(1, keepdim=True) & (highest > 0)
    return torch.where(there, maps / highest, 0).float()


def to_maps(attributions: Attributions, sign: str, valid: Masks) -> tuple[Maps, torch.Tensor]:
    """Apply the sign policy, upsample, blank the padding, scale each map by its own maximum.

    Returns maps (batch, H, W) in [0, 1] and (batch,) bool of those that are blank: not finite, zero, or
    constant on what is not padding. A blank map is all zero.
    """
    if sign not in SIGNS:
        raise ExplainerFault(f"unknown sign policy '{sign}'; an explainer declares {' or '.join(SIGNS)}")
    finite = attributions.flatten(1).isfinite().all(1)
    maps = unit(attributions.abs() if sign == "absolute" else attributions.clamp_min(0))
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
    margin_model = MarginModel(model.network, through=model, together=model.micro_batch)
    layered = nullcontext if getattr(explainer, "answers_only", False) else model.layered
    # half a micro-batch, since DeepLIFT sends each image through together with its baseline
    chunk = max(1, model.micro_batch // 2)
    pieces = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        margin_model.kept = None if kept is None else kept.setdefault(start, {})
        with undisturbed(model), layered(), out_of_place(model), torch.enable_grad():
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
        with undisturbed(model), model.layered(), out_of_place(model), torch.enable_grad():
            check(MarginModel(model.network, through=model), images.clone())


def metric_refs(metrics: Sequence[str | PluginRef]) -> tuple[PluginRef, ...]:
    """References to metrics, from names or ``PluginRef``; ``InputError`` for what is none, and for an empty list."""
    beside = next((name for name in BESIDE if name in list(metrics)), None)
    if beside is not None:
        raise InputError(f"'{beside}' is no metric to choose: every run has it, and {BESIDE[beside]}")
    return registry.refs("metrics", metrics)


def metrics_of(metrics: Sequence[str | PluginRef]) -> Mapping[str, AlignmentMetric]:
    """Metrics by name, with the parameters that they are given; none for an empty list."""
    refs = metric_refs(metrics) if len(metrics) else ()
    return {ref.name: registry.make("metrics", ref.name, ref.params) for ref in refs}


def score(
    maps: Tensor,
    masks: Tensor,
    metrics: Sequence[str | PluginRef] | None = None,
    valid: Tensor | None = None,
    near: Sequence[Tensor] | None = None,
    backend: Backend = "fracbench",
) -> dict[str, Scores]:
    """Score maps (batch, H, W), non-negative, against masks (batch, H, W), nonzero on the fracture.

    ``metrics`` are names, by default all of ``METRICS``, or ``PluginRef(name=..., params=...)`` for one with other
    parameters. ``valid`` (batch, H, W) bool is the rectangle of picture on each image; padding around it is cut away
    first, since pixels that no explainer may mark would lift the auc of any map. ``near``, one bool (n, H, W) for each
    image, are its instances with the tolerance around them (``fracbench.instances.dilate``); where given,
    ``instance_hit`` and ``instance_recall`` are scored too. ``backend="quantus"`` runs Quantus itself where a metric
    has it.

    Each map is divided by its own maximum, so its unit does not matter. Returns metric name to (batch,) scores: 0 for a
    blank, constant or non-finite map, NaN for an empty mask. Raises ``InputError`` for what cannot be scored, and for
    negative attributions, whose reading is a decision (``maps.abs()``, ``maps.clamp_min(0)``) that no metric can make.
    """
    check_backend(backend)
    maps = check_maps(maps, masks)
    masks, chosen = check_masks("masks", masks, maps), metrics_of(METRICS if metrics is None else metrics)
    near = None if near is None else check_near(near, maps)
    boxes = [(torch.arange(len(maps), device=maps.device), EVERYWHERE)]
    if valid is not None:
        boxes = _pictures(check_masks("valid", valid, maps))
    result: dict[str, Scores] = {}
    for rows, box in boxes:
        cut = None if near is None else [near[i][box] for i in rows.tolist()]
        for name, scores in _score_pictures(maps[rows][box], masks[rows][box], chosen, cut, backend).items():
            result.setdefault(name, torch.empty(len(maps), device=maps.device))[rows] = scores
    return result


def _pictures(valid: Masks) -> list[tuple[Tensor, Box]]:
    """Images grouped by their rectangle of picture: (row numbers, the box to cut out)."""
    edges = []
    for axis in (2, 1):
        there = valid.any(axis).int()
        edges += [there.argmax(1), there.shape[1] - there.flip(1).argmax(1)]
    top, bottom, left, right = edges
    odd = ((bottom - top) * (right - left) != valid.sum((1, 2))).nonzero()[:, 0]
    if len(odd):
        raise InputError(f"valid[{int(odd[0])}] is no rectangle of picture; it must be one, of at least a pixel")
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
    maps, marked = unit(maps), masks.flatten(1).any(1)
    scorable = (maps.amax((1, 2)) > maps.amin((1, 2))) & marked
    kept, at = maps[scorable], masks[scorable]
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
            if found[name].shape != (len(kept),):
                raise ExplainerFault(f"metric '{name}' returned {tuple(found[name].shape)} for {len(kept)} maps")
            if not torch.isfinite(found[name]).all():
                raise ExplainerFault(f"metric '{name}' returned a score that is not finite")
            scores[scorable] = found[name].float()
        result[name] = scores.masked_fill(~marked, torch.nan)
    return result
