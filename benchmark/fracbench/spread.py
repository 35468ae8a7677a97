"""Where a map's mass lies, with or without a fracture: how concentrated it is, and how much is beside the anatomy."""

from __future__ import annotations

import torch

from fracbench.instances import dilate
from fracbench.otsu import otsu
from fracbench.schema import SPREAD
from fracbench.tensors import Images, Maps, Masks, Scores

HIGHEST = 0.05


def anatomy(images: Images, valid: Masks, tolerance: float) -> Masks:
    """(batch, H, W) bool: pixels brighter than Otsu's threshold of the picture, and those within ``tolerance`` of them.

    Bone and soft tissue absorb, so they are bright; what is beside them is the bare detector.
    """
    found = torch.zeros_like(valid)
    for place, (image, inside) in enumerate(zip(images[:, 0], valid, strict=True)):
        found[place] = (image > otsu(image[inside][None, None])[0]) & inside
    return dilate(found, tolerance) & valid


def spread(maps: Maps, beside: Masks, valid: Masks) -> dict[str, Scores]:
    """Of each map (batch, H, W), non-negative: (batch,), NaN for a blank one.

    ``concentration`` is the share of its mass in the highest 5 % of the picture's pixels, .05 for a flat map and 1 for
    a point; ``outside_anatomy`` the share of its mass on ``beside`` (batch, H, W).
    """
    mass = maps.sum((1, 2))
    kept = (HIGHEST * valid.sum((1, 2))).long().clamp_min(1)
    highest = maps.flatten(1).topk(int(kept.max()), dim=1).values.cumsum(1).gather(1, kept[:, None] - 1)[:, 0]
    shares = highest / mass, (maps * beside).sum((1, 2)) / mass
    return {name: of.masked_fill(mass == 0, torch.nan) for name, of in zip(SPREAD, shares, strict=True)}
