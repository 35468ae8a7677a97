"""Fractures one by one, and the tolerance around them: a peak beside a fracture has found it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from fracbench.order import counted
from fracbench.schema import INSTANCES
from fracbench.tensors import Maps, Masks, Scores

HIGHEST = 0.01  # share of a map's pixels among which an instance's maximum must be


def dilate(masks: Masks, tolerance: float) -> Masks:
    """Every pixel within ``tolerance`` pixels (Euclidean) of the mask."""
    if not len(masks):
        return masks
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


def instance_scores(maps: Maps, near: Sequence[Masks]) -> dict[str, Scores]:
    """For each image whether one of its instances is found, and the share of them that are; NaN without an instance.

    ``near`` holds for each image its instances (n, H, W), with the tolerance around them. An instance is found when the
    map's maximum on it is among the map's highest 1 % of pixels; where pixels of that value lie on both sides of the
    line, the probability that one of the instance's is above it. A constant map finds nothing.
    """
    owner = torch.tensor([i for i, of in enumerate(near) for _ in of], device=maps.device, dtype=torch.long)
    counts = torch.tensor([len(of) for of in near], device=maps.device)
    hit, recall = (torch.zeros(len(maps), device=maps.device) for _ in range(2))
    if len(owner):
        found = _found(maps[owner], torch.cat(list(near)).to(maps.device))
        hit = _found(maps, torch.stack([of.any(0) for of in near]).to(maps.device))  # the best of them is found first
        recall = recall.index_add(0, owner, found) / counts.clamp_min(1)
    return {name: of.masked_fill(counts == 0, torch.nan) for name, of in zip(INSTANCES, (hit, recall), strict=True)}


def _found(maps: Maps, instances: Masks) -> Tensor:
    """(n,) for each map and instance on it: 1 found, 0 not, between for ties."""
    flat = maps.flatten(1)
    best = maps.masked_fill(~instances, -torch.inf).flatten(1).amax(1, keepdim=True)
    tied = flat == best
    equal, inside = counted(tied), counted(tied & instances.flatten(1))
    free = (max(1, int(HIGHEST * flat.shape[1])) - counted(flat > best)).clamp_min(0).minimum(equal)
    missed = _log_choose(equal - inside, free) - _log_choose(equal, free)
    share = torch.where(equal - inside < free, 1.0, 1 - missed.exp()).float()
    return torch.where(flat.amax(1) > flat.amin(1), share, 0.0)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp_min(0) + 1)
