"""Fractures as geometry: where a bone breaks, how rough, how far its fragments move, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracbench_plugins.datasets.phantom.geometry import Bone, Buckle, Fragment, Plane, Shape, Surface

KINDS = ("transverse", "oblique", "comminuted", "torus")
INSIDE = 0.97  # share of the change of attenuation that a mask holds; 0.95 is promised


@dataclass(frozen=True)
class Fracture:
    kind: str
    shape: Shape


def draw_fracture(rng: np.random.Generator, bone: Bone, place: float, child: bool) -> Fracture:
    """Break a bone at ``place`` (s in mm), from a hairline to a gap with displaced fragments."""
    width = bone.middle + (bone.proximal - bone.middle) * float(bone.ends(np.array(place)))
    kind = str(rng.choice(KINDS, p=(0.2, 0.25, 0.15, 0.4) if child else (0.4, 0.38, 0.22, 0.0)))
    if kind == "torus":
        size = width * rng.uniform(0.2, 0.6)
        both = rng.random() < 0.4
        left, right = (size, size * rng.uniform(0.5, 1)) if both else (size, 0.0)
        if rng.random() < 0.5:
            left, right = right, left
        buckle = Buckle(place, rng.uniform(0.16, 0.34) * width + 0.5, left, right)
        return Fracture(kind, Shape(bone, buckles=(buckle,)))
    steep = {"transverse": 0.22, "oblique": 1.3, "comminuted": 0.6}[kind]
    gap = float(np.exp(rng.uniform(np.log(0.8), np.log(4.5)))) * width / 8
    tilt = rng.uniform(0.35 if kind == "oblique" else 0.0, steep) * rng.choice((-1, 1))
    first = _surface(rng, place, tilt, gap, width)
    moved = rng.random() < 0.85
    far = {
        "across": width * rng.uniform(0.2, 0.9) * rng.choice((-1, 1)) * moved,
        "along": width * rng.uniform(-0.3, 0.25) * moved,
        "turn": rng.uniform(-0.3, 0.3) * moved,
        "centre": place,
        "reach": 1.5 * width + 2.0,
    }
    before = Fragment(((first, -1),))
    if kind != "comminuted":
        return Fracture(kind, Shape(bone, (before, Fragment(((first, 1),), **far))))
    # a wedge between two surfaces that lean towards each other
    second = _surface(rng, place + width * rng.uniform(0.3, 0.7), -tilt * rng.uniform(0.6, 1.4), gap, width)
    wedge = {"across": width * rng.uniform(0.1, 0.4) * rng.choice((-1, 1)), "turn": rng.uniform(-0.3, 0.3),
             "centre": place, "reach": 1.5 * width + 2.0}  # fmt: skip
    fragments = (
        before,
        Fragment(((first, 1), (second, -1)), **wedge),
        Fragment(((first, 1), (second, 1)), **far),
    )
    return Fracture(kind, Shape(bone, fragments))


def _surface(rng: np.random.Generator, place: float, tilt: float, gap: float, width: float) -> Surface:
    lean = rng.uniform(0.03, 0.2) * rng.choice((-1, 1))
    waves = tuple(
        (0.07 * width * rng.uniform(0.4, 1.2) / k**0.9, 2.4 * k / width, rng.uniform(0, 2 * np.pi))
        for k in (1, 2, 4, 7)
    )
    return Surface(place, float(tilt), float(lean), gap, waves)


def outline(change: Plane) -> NDArray[np.bool_]:
    """The 32-sided polygon around the pixels that make up 97 % of the change of attenuation."""
    size = np.abs(change)
    ordered = np.sort(size, axis=None)[::-1]
    if not ordered.size or ordered[0] <= 0:
        return np.zeros(change.shape, bool)
    enough = int(np.searchsorted(np.cumsum(ordered), INSIDE * ordered.sum()))
    core = size >= max(ordered[min(enough, ordered.size - 1)], 1e-9)
    rows, columns = (at.astype(np.float64) for at in np.nonzero(core))
    y, x = np.ogrid[: change.shape[0], : change.shape[1]]
    mask = np.ones(change.shape, bool)
    for angle in np.arange(16) * (np.pi / 16):
        along, heights = x * np.cos(angle) + y * np.sin(angle), columns * np.cos(angle) + rows * np.sin(angle)
        # the slack keeps pixels on the rim, which rounding could put on either side
        mask &= (along >= heights.min() - 1e-6) & (along <= heights.max() + 1e-6)
    return mask
