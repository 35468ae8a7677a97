"""Bones as hollow elliptic tubes with flared, capped ends, and the path of a ray through their fragments.

Lengths are in mm. The beam is parallel and runs along z; s runs along a bone's axis and t across it, both in the
image plane, so that a ray at (s, t) meets the bone between -z and +z and a length is exact, not sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Pixel centres in mm from the middle of a square detector."""

    side: int
    pitch: float

    def box(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within ``reach`` mm of a point."""
        middle = (self.side - 1) / 2
        edges = [
            slice(max(0, int(at / self.pitch + middle - reach / self.pitch)),
                  max(0, min(self.side, int(at / self.pitch + middle + reach / self.pitch) + 2)))
            for at in (y, x)
        ]  # fmt: skip
        return edges[0], edges[1]

    def points(self, box: tuple[slice, slice]) -> tuple[Plane, Plane]:
        """x (1, columns) and y (rows, 1) of the pixels in a box."""
        at: Plane = (np.arange(self.side, dtype=np.float64) - (self.side - 1) / 2) * self.pitch
        return at[None, box[1]], at[box[0], None]


@dataclass(frozen=True)
class Bone:
    """One bone. ``angle`` 0 points down the image; ``depth`` is the ratio of depth to width."""

    name: str
    x: float
    y: float
    angle: float
    half_length: float
    middle: float  # half widths of the shaft and of both ends
    proximal: float
    distal: float
    depth: float
    cortex: float  # wall of the shaft, and of the ends
    shell: float
    marrow: float  # how much of the shaft's inside is trabecular; the ends are full of it
    bow: float = 0.0
    plates: tuple[float, ...] = ()  # growth plates, as s

    def box(self, grid: Grid) -> tuple[slice, slice]:
        return grid.box(self.x, self.y, self.half_length + max(self.middle, self.proximal, self.distal))

    def local(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """(s, t) of image points."""
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        s = (x - self.x) * sine + (y - self.y) * cosine
        t = (x - self.x) * cosine - (y - self.y) * sine
        return s, t - self.bow * ((s / self.half_length) ** 2 - 1)

    def ends(self, s: Plane) -> Plane:
        """0 on the shaft, 1 at both ends."""
        return np.clip((np.abs(s) / self.half_length - 0.35) / 0.55, 0, 1) ** 1.5


@dataclass(frozen=True)
class Surface:
    """A rough surface s = place + tilt t + lean z + roughness(t); what lies within half a gap of it is gone."""

    place: float
    tilt: float
    lean: float  # never 0: a ray crosses the surface once
    gap: float
    waves: tuple[tuple[float, float, float], ...]  # amplitude, frequency, phase of the roughness

    def height(self, s: Plane, t: Plane) -> Plane:
        return s - self.place - self.tilt * t - sum(a * np.sin(f * t + p) for a, f, p in self.waves)


@dataclass(frozen=True)
class Fragment:
    """The part of a bone on given sides (-1 before, +1 beyond) of surfaces, and how it has moved.

    The shift fades with the distance from ``centre``, so that a fracture changes the picture near it alone.
    """

    sides: tuple[tuple[Surface, int], ...] = ()
    along: float = 0.0
    across: float = 0.0
    turn: float = 0.0  # radians
    centre: float = 0.0
    reach: float = 1.0

    def origin(self, s: Plane, t: Plane) -> tuple[Plane, Plane]:
        """Where the tissue now at (s, t) was before the fragment moved."""
        if not (self.along or self.across or self.turn):
            return s, t
        near = np.exp(-(((s - self.centre) / self.reach) ** 2))
        return s - near * (self.along + self.turn * t), t - near * (self.across - self.turn * (s - self.centre))


@dataclass(frozen=True)
class Buckle:
    """A torus fracture: the cortex bulges on one side or both."""

    place: float
    width: float
    left: float
    right: float

    def bulge(self, s: Plane, t: Plane) -> Plane:
        return np.where(t < 0, self.left, self.right) * np.exp(-(((s - self.place) / self.width) ** 2))


@dataclass(frozen=True)
class Shape:
    """A bone as it is in this image: whole, or in fragments, or buckled."""

    bone: Bone
    fragments: tuple[Fragment, ...] = (Fragment(),)
    buckles: tuple[Buckle, ...] = ()
    canals: tuple[tuple[float, float, float], ...] = field(default=())  # s, slope, half width of nutrient canals


def half_chords(shape: Shape, s: Plane, t: Plane) -> tuple[Plane, Plane]:
    """Half of the ray's path inside the outer and inside the inner wall."""
    bone = shape.bone
    ends = bone.ends(s)
    wide = bone.middle + (np.where(s < 0, bone.proximal, bone.distal) - bone.middle) * ends
    wall = bone.cortex + (bone.shell - bone.cortex) * ends
    for buckle in shape.buckles:
        wide = wide + buckle.bulge(s, t)
    squared = t * t

    def chord(half_width: Plane, half_depth: Plane, half_length: float, cap: float) -> Plane:
        beyond = np.clip((np.abs(s) - (half_length - cap)) / cap, 0, 1)
        inside = half_width * half_width * (1 - beyond * beyond) - squared
        return np.sqrt(np.clip(inside, 0, None)) * (half_depth / np.maximum(half_width, 1e-9))

    cap = min(bone.half_length, 0.8 * (bone.proximal + bone.distal) / 2)
    outer = chord(wide, bone.depth * wide, bone.half_length, cap)
    inner_width, inner_depth = np.clip(wide - wall, 0, None), np.clip(bone.depth * wide - wall, 0, None)
    inner = chord(inner_width, inner_depth, bone.half_length - bone.shell, max(cap - bone.shell, 0.3 * cap))
    return outer, np.minimum(inner, outer)


def paths(shape: Shape, s: Plane, t: Plane) -> tuple[Plane, Plane]:
    """Path in cortical and in trabecular bone, mm, summed over the fragments."""
    cortical, trabecular = np.zeros(np.broadcast(s, t).shape), np.zeros(np.broadcast(s, t).shape)
    for fragment in shape.fragments:
        here, there = fragment.origin(s, t)
        outer, inner = half_chords(shape, here, there)
        bounds = [_bound(surface, side, here, there) for surface, side in fragment.sides]
        whole, inside = _overlap(outer, bounds), _overlap(inner, bounds)
        ends = shape.bone.ends(here)
        filled = shape.bone.marrow + (1 - shape.bone.marrow) * ends
        for place in shape.bone.plates:
            gap = 1 - 0.85 * np.exp(-(((here - place - 0.5 * np.sin(1.1 * there)) / 0.55) ** 2))
            whole, inside = whole * gap, inside * gap
        for place, slope, half in shape.canals:
            run = np.abs(here - place) < 7.0
            hole = np.sqrt(np.clip(half**2 - (there - slope * (here - place)) ** 2, 0, None)) * run
            whole = np.maximum(whole - 2 * hole, inside)
        cortical += whole - inside
        trabecular += inside * filled
    return cortical, trabecular


def _bound(surface: Surface, side: int, s: Plane, t: Plane) -> tuple[Plane, bool]:
    """The z at which a ray crosses into a side of a surface, and whether it is the interval's lower end."""
    crossing = (surface.height(s, t) - side * surface.gap / 2) / surface.lean
    return crossing, (side < 0) == (surface.lean > 0)


def _overlap(half: Plane, bounds: Sequence[tuple[Plane, bool]]) -> Plane:
    """Length of [-half, half] within all bounds."""
    low, high = -half, half
    for crossing, is_low in bounds:
        if is_low:
            low = np.maximum(low, crossing)
        else:
            high = np.minimum(high, crossing)
    return np.clip(high - low, 0, None)
