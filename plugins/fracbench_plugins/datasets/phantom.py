"""Provisional phantom: projected long bones with a fracture whose mask is exact.

Small on purpose. It knows cylinders, not anatomy: results on it rank code, not clinical worth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from fracbench.contracts import InputError, Radiograph, Sample
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Plane = NDArray[np.float64]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Bone:
    """A tapered tube in the image plane: ``along`` and ``across`` are pixel coordinates in its own frame."""

    along: Plane
    across: Plane
    radius: Plane
    half_length: float


def _bone(rng: np.random.Generator, size: int, angle: float, offset: float) -> _Bone:
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    along = columns * np.cos(angle) + rows * np.sin(angle) - rng.uniform(-0.06, 0.06)
    across = -columns * np.sin(angle) + rows * np.cos(angle) - offset
    across += rng.uniform(-0.25, 0.25) * along**2  # long bones bend
    half_length = rng.uniform(0.34, 0.46)
    shaft = rng.uniform(0.055, 0.085)
    ends = np.clip((np.abs(along) / half_length - 0.6) / 0.4, 0, 1)
    return _Bone(along, across, shaft * (1 + rng.uniform(0.3, 0.7) * ends**2), half_length)


def _tube(bone: _Bone, across: Plane, cortex: float) -> Plane:
    """Thickness of cortical bone along the ray through a hollow cylinder, plus some spongy inside."""
    inner = bone.radius * (1 - cortex)
    outside = np.sqrt(np.clip(bone.radius**2 - across**2, 0, None))
    inside = np.sqrt(np.clip(inner**2 - across**2, 0, None))
    capped = 1 / (1 + np.exp((np.abs(bone.along) - bone.half_length) * 120))
    return ((outside - inside) + 0.45 * inside) * capped


def _fracture_line(rng: np.random.Generator, bone: _Bone) -> tuple[Plane, Plane]:
    """Signed distance along the bone from a jagged, oblique line, and the half width of its gap."""
    place = rng.uniform(-0.55, 0.55) * bone.half_length
    tilt = rng.uniform(-0.7, 0.7)
    jag = sum(rng.uniform(0.002, 0.006) * np.sin(bone.across * f + rng.uniform(0, 6)) for f in (60.0, 130.0, 210.0))
    return bone.along - place - tilt * bone.across - jag, np.full_like(bone.along, rng.uniform(0.009, 0.014))


def _render(seed: int, split: str, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], int]:
    """One radiograph (size, size), 8 bit, its fracture mask (all false for a normal one), and its bone count."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    fractured = index % 2 == 1
    angle = rng.uniform(0, np.pi)
    count = int(rng.integers(1, 3))
    bones = [_bone(rng, size, angle, offset) for offset in ((0.0,) if count == 1 else (-0.11, 0.11))]
    broken = int(rng.integers(count))
    mask = np.zeros((size, size), bool)
    thickness = np.zeros((size, size))
    for number, bone in enumerate(bones):
        cortex = rng.uniform(0.3, 0.45)
        across, gap = bone.across, np.zeros((size, size))
        line, half_width = _fracture_line(rng, bone)  # drawn for every bone, so that labels share the stream
        step = rng.choice([-1, 1]) * rng.uniform(0.006, 0.016)
        if fractured and number == broken:
            across = across + np.where(line > 0, step, 0)
            gap = np.exp(-((line / half_width) ** 2))
            on_bone = (np.abs(across) < bone.radius) & (np.abs(bone.along) < bone.half_length)
            mask = (np.abs(line) < 1.6 * half_width) & on_bone
        tube = _tube(bone, across, cortex) * (1 - rng.uniform(0.75, 0.95) * gap)
        thickness += tube * _look_alikes(rng, bone)
    texture = gaussian_filter(rng.standard_normal((size, size)), size / 90)
    thickness *= 1 + 0.35 * texture
    tissue_width = rng.uniform(0.24, 0.32)
    tissue = np.sqrt(np.clip(tissue_width**2 - (bones[0].across * (0.9 if count == 1 else 0.7)) ** 2, 0, None))
    fold = rng.uniform(0, 0.03) * np.exp(-(((bones[0].along - rng.uniform(-0.4, 0.4)) / 0.01) ** 2))
    absorbed = 0.9 * (tissue + fold * (tissue > 0)) + rng.uniform(4.2, 5.2) * thickness
    counts = rng.uniform(2500, 6000)
    signal = rng.poisson(counts * np.exp(-2.2 * absorbed)) / counts
    image = -np.log(np.clip(gaussian_filter(signal, size / 220), 1e-3, None))
    image = (image - 0.1) / rng.uniform(1.45, 1.75) + rng.uniform(-0.03, 0.03)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8), mask, count


def _look_alikes(rng: np.random.Generator, bone: _Bone) -> Plane:
    """Growth plate and nutrient canal: smooth dark bands that are no fracture, in both classes."""
    factor = np.ones_like(bone.along)
    if rng.random() < 0.5:
        place = rng.choice([-1, 1]) * rng.uniform(0.78, 0.88) * bone.half_length
        factor -= rng.uniform(0.25, 0.5) * np.exp(-(((bone.along - place) / 0.014) ** 2))
    if rng.random() < 0.6:
        centre, slope = rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15)
        canal = np.exp(-(((bone.across - slope * (bone.along - centre)) / 0.006) ** 2))
        factor -= rng.uniform(0.15, 0.35) * canal * (np.abs(bone.along - centre) < 0.07)
    return factor


_cached = lru_cache(maxsize=4096)(_render)


@dataclass(frozen=True)
class Phantom:
    """Made in memory from a seed; odd indices are fractured. ``train``, ``val``, ``test`` count images.

    Computed in float64 and stored as 8 bit; the group of an image is its virtual patient, one image each.
    """

    root: object = None
    size: int = 128
    train: int = 2400
    val: int = 200
    test: int = 128
    seed: int = 0

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __post_init__(self) -> None:
        if self.root is not None:
            raise InputError("the phantom is made in memory; leave --data out")
        if not 32 <= self.size <= 1024:
            raise InputError(f"phantom size must lie in 32..1024 pixels, got {self.size}")

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in SPLITS:
            raise InputError(f"the phantom has no split '{split}'; splits are {', '.join(SPLITS)}")
        names = [f"{split}-{index:05d}" for index in range(getattr(self, split))]
        return [Sample(name, index % 2, name) for index, name in enumerate(names)]

    def read(self, sample: Sample) -> Radiograph:
        split, _, index = sample.id.partition("-")
        pixels, mask, _ = _cached(self.seed, split, int(index), self.size)
        instances = mask[None] if mask.any() else np.zeros((0, *mask.shape), bool)
        return Radiograph(pixels.astype(np.float32) / np.float32(255), instances)

    def fingerprint(self, split: str) -> str:
        total = hashlib.sha256()
        for sample in self.samples(split):
            pixels, mask, _ = _cached(self.seed, split, int(sample.id.partition("-")[2]), self.size)
            total.update(pixels.tobytes() + np.packbits(mask).tobytes())
        return total.hexdigest()
