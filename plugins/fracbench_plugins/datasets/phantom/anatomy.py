"""A virtual patient's hand and forearm: bones and soft tissue in mm, wrist at the origin, fingers up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fracbench_plugins.datasets.phantom.geometry import Bone

# Adult means in mm, thumb to little finger: metacarpal, proximal, middle and distal phalanx (Buryanov and Kotiuk 2010)
RAYS = (
    (46.2, 31.6, 0.0, 21.7),
    (68.1, 39.8, 22.4, 15.8),
    (64.6, 44.6, 26.3, 17.4),
    (58.0, 41.4, 25.7, 17.3),
    (53.7, 32.7, 18.1, 16.0),
)
BASES = ((-19.0, -13.0), (-11.5, -27.0), (-2.0, -28.0), (6.5, -26.0), (14.0, -23.0))
SPREAD = (-0.75, -0.20, -0.03, 0.12, 0.30)  # radians from straight up
# x, y, half length, half width, angle
CARPALS = {
    "scaphoid": (-11.5, -7.5, 9.5, 5.2, 0.7),
    "lunate": (-1.5, -6.5, 6.8, 6.4, 0.0),
    "triquetrum": (8.5, -8.0, 6.6, 5.4, -0.6),
    "pisiform": (11.5, -6.5, 4.6, 4.2, 0.0),
    "trapezium": (-17.0, -14.5, 6.3, 5.6, 0.6),
    "trapezoid": (-10.0, -18.0, 5.4, 4.6, 0.2),
    "capitate": (-2.0, -17.5, 10.0, 6.0, 0.0),
    "hamate": (7.5, -17.5, 8.2, 6.3, -0.3),
}


@dataclass(frozen=True)
class Tube:
    """Soft tissue around a segment, its radius changing from one end to the other; ``depth`` over width."""

    start: tuple[float, float]
    end: tuple[float, float]
    radii: tuple[float, float]
    depth: float


@dataclass(frozen=True)
class Patient:
    child: bool
    bones: tuple[Bone, ...]
    tissue: tuple[Tube, ...]
    skin: float
    fat: float
    density: float  # of all bone, 1 is the mean
    scale: float


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw age, size, proportions and bone density."""
    child = bool(rng.random() < 0.4)
    scale = rng.uniform(0.58, 0.85) if child else rng.uniform(0.9, 1.12)
    slender = rng.uniform(0.9, 1.12)
    density = float(np.clip(rng.normal(1.0, 0.13), 0.65, 1.3)) * (0.88 if child else 1.0)
    wall = rng.uniform(0.24, 0.36)  # share of the shaft's half width
    bones = [*_forearm(rng, scale, slender, wall, child), *_carpals(rng, scale, child)]
    rays = [_ray(rng, number, scale, slender, wall, child) for number in range(5)]
    bones += [bone for ray, _ in rays for bone in ray]
    padding = rng.uniform(0.85, 1.3)
    tissue = [*_arm_tissue(scale, padding), *(tube for _, tubes in rays for tube in tubes)]
    return Patient(
        child, tuple(bones), tuple(tissue), rng.uniform(1.0, 1.8) * scale, rng.uniform(0.8, 3.5) * scale, density, scale
    )


def _forearm(rng: np.random.Generator, scale: float, slender: float, wall: float, child: bool) -> list[Bone]:
    found = []
    for name, x, y, middle, proximal, distal, plate in (
        ("radius", -7.0, 2.0, 6.2, 9.0, 14.0, 8.0),
        ("ulna", 14.5, 5.5, 5.2, 9.0, 7.5, 6.5),
    ):
        length = rng.uniform(108, 116) * scale
        turned = np.pi + rng.normal(0, 0.03) + (0.02 if name == "radius" else -0.02)
        # s grows from the elbow to the wrist; the wrist end lies at (x, y)
        at_x, at_y = x * scale - length * np.sin(turned), y * scale - length * np.cos(turned)
        shaft, elbow, wrist = (half * scale * slender * rng.uniform(0.93, 1.07) for half in (middle, proximal, distal))
        found.append(
            Bone(
                name, at_x, at_y, turned, length, shaft, elbow, wrist, depth=rng.uniform(0.72, 0.9),
                cortex=wall * shaft * 1.1, shell=0.9 * scale, marrow=rng.uniform(0.05, 0.2),
                bow=rng.uniform(-2.5, 2.5) * scale, plates=(length - plate * scale,) if child else (),
            )
        )  # fmt: skip
    return found


def _carpals(rng: np.random.Generator, scale: float, child: bool) -> list[Bone]:
    found = []
    for name, (x, y, length, width, turned) in CARPALS.items():
        # carpals ossify one by one; what has not is cartilage, which a radiograph does not tell from muscle
        ossified = rng.uniform(0.25, 1.0) if child else 1.0
        if ossified < 0.45:
            continue
        half, wide = (size * scale * ossified * rng.uniform(0.93, 1.07) for size in (length, width))
        found.append(
            Bone(
                name, x * scale + rng.normal(0, 0.5), y * scale + rng.normal(0, 0.5), turned + rng.normal(0, 0.1),
                max(half, wide), wide, wide, wide, depth=rng.uniform(0.9, 1.15), cortex=0.9 * scale, shell=0.9 * scale,
                marrow=1.0,
            )
        )  # fmt: skip
    return found


def _ray(
    rng: np.random.Generator, number: int, scale: float, slender: float, wall: float, child: bool
) -> tuple[list[Bone], list[Tube]]:
    """A metacarpal with its phalanges, end to end, and the tissue around them."""
    x, y = (part * scale for part in BASES[number])
    turned = np.pi - SPREAD[number] * rng.uniform(0.7, 1.2) + rng.normal(0, 0.03)
    bones, tubes = [], []
    names = ("metacarpal", "proximal", "middle", "distal")
    for place, (name, length) in enumerate(zip(names, RAYS[number], strict=True)):
        if not length:
            continue
        half = length / 2 * scale * rng.uniform(0.95, 1.05)
        # s grows towards the fingertip
        to_x, to_y = np.sin(turned), np.cos(turned)
        at_x, at_y = x + to_x * half, y + to_y * half
        thick = scale * slender * (1.1 if number == 0 else 0.9 if number == 4 else 1.0)
        middle = (4.1, 4.2, 3.6, 2.7)[place] * thick
        proximal, distal = (7.0, 6.8, 5.9, 5.0)[place] * thick, (7.0, 5.4, 4.7, 3.4)[place] * thick
        plate = half - 6.5 * scale if name == "metacarpal" and number else -half + 3.5 * scale
        bones.append(
            Bone(
                f"{name}-{number + 1}", at_x, at_y, turned, half, middle, proximal, distal,
                depth=rng.uniform(0.75, 0.95), cortex=wall * middle * 1.15, shell=0.6 * scale,
                marrow=rng.uniform(0.1, 0.3), bow=rng.normal(0, 0.3) * scale, plates=(plate,) if child else (),
            )
        )  # fmt: skip
        radius = (13.0, 9.3, 8.3, 7.5)[place] * scale
        ends = (x - 2 * to_x, y - 2 * to_y), (at_x + to_x * (half + 3), at_y + to_y * (half + 3))
        tubes.append(Tube(*ends, (radius, radius * 0.94), 1.05 if place == 0 else 0.9))
        x, y = at_x + to_x * (half + 1.4 * scale), at_y + to_y * (half + 1.4 * scale)
        turned += rng.normal(0, 0.05)
    return bones, tubes


def _arm_tissue(scale: float, padding: float) -> list[Tube]:
    arm = Tube((1.5 * scale, 230 * scale), (0.0, -4.0), (42 * scale * padding, 26 * scale * padding), 0.75)
    palm = Tube((0.0, 2.0), (-1.0, -38 * scale), (25 * scale * padding, 25 * scale * padding), 0.62)
    return [arm, palm]
