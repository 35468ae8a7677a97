"""One radiograph of the phantom: a patient, a view, what is broken, what only looks broken, and what tempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from fracbench_plugins.datasets.phantom.acquisition import (
    CORTICAL,
    FAT,
    LEAD,
    MUSCLE,
    PLASTER,
    SHIFTED,
    SITES,
    SKIN,
    TRABECULAR,
    Site,
    develop,
    expose,
)
from fracbench_plugins.datasets.phantom.anatomy import Patient, Tube
from fracbench_plugins.datasets.phantom.fractures import draw_fracture, outline
from fracbench_plugins.datasets.phantom.geometry import Bone, Grid, Plane, Shape, paths

SIDE = 256
# middle of the picture (x, y) and its width, mm in an adult
VIEWS = {"wrist": (0.0, 10.0, 58.0), "hand": (-2.0, -52.0, 70.0), "fingers": (-2.0, -92.0, 58.0)}
GLYPHS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
}


class Lures(NamedTuple):
    """The probability that each planted shortcut agrees with the label."""

    marker: float
    cast: float
    site: float


@dataclass(frozen=True)
class Tempting:
    """The planted shortcuts: which marker, whether there is a cast, and the site."""

    marker: str
    cast: bool
    site: Site


@dataclass(frozen=True)
class Picture:
    """An 8-bit radiograph with its fractures: instance masks, kinds, bones and subtleties (1 is invisible).

    ``marker`` is the rectangle of the lead letter: first row, row after the last, the same for columns.
    """

    pixels: NDArray[np.uint8]
    instances: NDArray[np.bool_]
    marker: tuple[int, int, int, int] = (0, 0, 0, 0)
    kinds: tuple[str, ...] = ()
    bones: tuple[str, ...] = ()
    subtleties: tuple[float, ...] = ()
    facts: dict[str, str | bool] = field(default_factory=dict)


def draw_tempting(rng: np.random.Generator, fractured: bool, lures: Lures, shifted_site: bool) -> Tempting:
    """Each shortcut agrees with the label with its probability: above .5 in training, below it where reversed."""
    marker, cast, site = (fractured == bool(rng.random() < lure) for lure in lures)
    other = SITES[1 + int(rng.integers(2))]
    return Tempting("R" if marker else "L", cast, SHIFTED if shifted_site else SITES[0] if site else other)


def render(
    rng: np.random.Generator,
    own: np.random.Generator,
    patient: Patient,
    view: str,
    fractured: bool,
    tempting: Tempting,
) -> Picture:
    """Draw one picture. ``rng`` poses the patient; ``own`` draws what differs from another picture in this pose."""
    x, y, width = VIEWS[view]
    grid = Grid(SIDE, width * patient.scale * rng.uniform(0.94, 1.1) / SIDE)
    pose = _Pose(rng, x * patient.scale, y * patient.scale)
    bones = [pose.bone(bone) for bone in patient.bones]
    shapes = {bone.name: Shape(bone, canals=_canals(rng, bone)) for bone in bones}
    contrast = rng.uniform(0.92, 1.08)
    texture = 1 + 0.10 * _noise(rng, (1.2, 0.5), (3.0, 0.5))
    covered, half = _tissue(grid, [pose.tube(tube) for tube in patient.tissue], patient)
    field_ = _field(rng)
    attenuation = covered
    if tempting.cast:
        attenuation = attenuation + _cast(own, half, patient)
    letter = _marker(own, tempting.marker, field_)
    attenuation = attenuation + LEAD * 2.0 * letter
    whole = {name: _bone_attenuation(grid, shape, texture, patient.density) for name, shape in shapes.items()}
    changes: list[tuple[tuple[slice, slice], Plane, str, str]] = []
    if fractured:
        for bone, place in _broken(own, grid, bones, field_):
            fracture = draw_fracture(own, bone, place, patient.child)
            shape = Shape(bone, fracture.shape.fragments, fracture.shape.buckles, shapes[bone.name].canals)
            box, before = whole[bone.name]
            _, after = _bone_attenuation(grid, shape, texture, patient.density)
            whole[bone.name] = box, after
            seen = (after - before) * field_[box]  # what the shutter hides is no finding
            changes.append((box, seen, fracture.kind, bone.name))
    for box, of in whole.values():
        attenuation[box] += of
    pixels = develop(expose(own, attenuation, tempting.site), field_, tempting.site, contrast)
    masks = np.zeros((len(changes), SIDE, SIDE), bool)
    for mask, (box, change, _, _) in zip(masks, changes, strict=True):
        mask[box] = outline(change)
    subtleties = tuple(_subtlety(attenuation[box], change, tempting.site) for box, change, _, _ in changes)
    kinds, names = tuple(kind for *_, kind, _ in changes), tuple(name for *_, name in changes)
    facts: dict[str, str | bool] = {
        "view": view, "child": patient.child, "site": tempting.site.name, "marker": tempting.marker,
        "cast": tempting.cast,
    }  # fmt: skip
    return Picture(pixels, masks, _rectangle(letter), kinds, names, subtleties, facts)


class _Pose:
    """Turns, mirrors and shifts the patient in front of the detector."""

    def __init__(self, rng: np.random.Generator, x: float, y: float) -> None:
        self.turn = rng.normal(0, 0.12)
        self.mirror = -1.0 if rng.random() < 0.5 else 1.0
        self.x, self.y = x + rng.normal(0, 3.0), y + rng.normal(0, 4.0)

    def point(self, x: float, y: float) -> tuple[float, float]:
        x, y = self.mirror * (x - self.x), y - self.y
        sine, cosine = np.sin(self.turn), np.cos(self.turn)
        return float(x * cosine + y * sine), float(-x * sine + y * cosine)

    def bone(self, bone: Bone) -> Bone:
        x, y = self.point(bone.x, bone.y)
        fields = {**vars(bone), "x": x, "y": y, "angle": self.mirror * bone.angle + self.turn}
        return Bone(**fields | {"bow": self.mirror * bone.bow})

    def tube(self, tube: Tube) -> Tube:
        return Tube(self.point(*tube.start), self.point(*tube.end), tube.radii, tube.depth)


def _noise(rng: np.random.Generator, *scales: tuple[float, float]) -> Plane:
    """Smooth noise of unit variance: (sigma in pixels, weight)."""
    total = np.zeros((SIDE, SIDE))
    for sigma, weight in scales:
        smooth = gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
        total += weight * smooth * (2 * sigma * np.sqrt(np.pi))
    return np.clip(total, -3, 3)


def _canals(rng: np.random.Generator, bone: Bone) -> tuple[tuple[float, float, float], ...]:
    """A nutrient canal: a thin oblique channel in the wall of a shaft, in fractured and normal pictures alike."""
    if bone.half_length < 12 or rng.random() < 0.5:
        return ()
    low, high = (0.55, 0.85) if bone.name in ("radius", "ulna") else (-0.3, 0.3)
    return ((rng.uniform(low, high) * bone.half_length, rng.uniform(-0.35, 0.35), rng.uniform(0.25, 0.5)),)


def _bone_attenuation(grid: Grid, shape: Shape, texture: Plane, density: float) -> tuple[tuple[slice, slice], Plane]:
    """What a bone adds to the attenuation of the tissue it displaces, in its box."""
    box = shape.bone.box(grid)
    if box[0].start >= box[0].stop or box[1].start >= box[1].stop:
        return box, np.zeros((max(0, box[0].stop - box[0].start), max(0, box[1].stop - box[1].start)))
    cortical, trabecular = paths(shape, *shape.bone.local(*grid.points(box)))
    return box, (CORTICAL * density - MUSCLE) * cortical + (TRABECULAR * density * texture[box] - MUSCLE) * trabecular


def _tissue(grid: Grid, tubes: list[Tube], patient: Patient) -> tuple[Plane, Plane]:
    """Attenuation of skin, fat and muscle, and half the thickness of it all."""
    x, y = grid.points((slice(0, SIDE), slice(0, SIDE)))
    deepest = np.zeros((SIDE, SIDE))
    radius, squared, depth = np.ones((SIDE, SIDE)), np.full((SIDE, SIDE), np.inf), np.ones((SIDE, SIDE))
    for tube in tubes:
        (x0, y0), (x1, y1) = tube.start, tube.end
        dx, dy = x1 - x0, y1 - y0
        share = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        apart = (x - x0 - share * dx) ** 2 + (y - y0 - share * dy) ** 2
        wide = tube.radii[0] + share * (tube.radii[1] - tube.radii[0])
        here = tube.depth**2 * (wide * wide - apart)
        deeper = here > deepest
        deepest = np.where(deeper, here, deepest)
        radius, squared, depth = (
            np.where(deeper, new, old) for new, old in ((wide, radius), (apart, squared), (tube.depth, depth))
        )
    outer = np.sqrt(deepest)

    def within(layer: float) -> Plane:
        return depth * np.sqrt(np.clip(np.clip(radius - layer, 0, None) ** 2 - squared, 0, None))

    below_skin, below_fat = within(patient.skin), within(patient.skin + patient.fat)
    total = 2 * (SKIN * (outer - below_skin) + FAT * (below_skin - below_fat) + MUSCLE * below_fat)
    return total, outer


def _cast(rng: np.random.Generator, half: Plane, patient: Patient) -> Plane:
    """Plaster of uneven thickness around the limb: longest path at its edges, folds across it."""
    thick = rng.uniform(2.5, 5.0) * patient.scale
    rim = distance_transform_edt(~binary_dilation(half > 0, iterations=3))
    inside = half > 0
    path = np.where(inside, 2 * thick, np.clip(6 - rim, 0, None) / 6 * 4 * thick)
    return PLASTER * path * (1 + 0.04 * _noise(rng, (5.0, 1.0)))


def _field(rng: np.random.Generator) -> NDArray[np.bool_]:
    """The collimated rectangle."""
    edges = rng.integers(0, 14, 4)
    field_ = np.zeros((SIDE, SIDE), bool)
    field_[edges[0] : SIDE - edges[1], edges[2] : SIDE - edges[3]] = True
    return field_


def _marker(rng: np.random.Generator, letter: str, field_: NDArray[np.bool_]) -> Plane:
    """A lead letter in a corner of the field: 1 where lead is."""
    bits = np.array([[bit == "1" for bit in row] for row in GLYPHS[letter]])
    glyph = np.kron(bits, np.ones((3, 3), bool))
    rows, columns = np.nonzero(field_.any(1))[0], np.nonzero(field_.any(0))[0]
    top = rows[0] + 4 if rng.random() < 0.5 else rows[-1] - 3 - glyph.shape[0]
    left = columns[0] + 4 if rng.random() < 0.5 else columns[-1] - 3 - glyph.shape[1]
    plane = np.zeros((SIDE, SIDE))
    plane[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return plane


def _rectangle(plane: Plane) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(plane)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def _broken(
    rng: np.random.Generator, grid: Grid, bones: list[Bone], field_: NDArray[np.bool_]
) -> list[tuple[Bone, float]]:
    """One to three bones with the place of their fracture, all inside the field."""
    # where no long bone is well in view: a small one, nearer to the edge, looked for longer
    searches = ((28, 6.0, 8), (18, 2.0, 40), (6, 2.0, 400))
    found = next(filter(None, (_places(rng, grid, bones, field_, *search) for search in searches)))
    # the forearm breaks most often, carpals least
    weights = np.array(
        [6.0 if b.name in ("radius", "ulna") else 0.25 if b.middle == b.distal else 2.0 for b, _ in found]
    )
    count = min(len(found), int(rng.choice((1, 2, 3), p=(0.78, 0.17, 0.05))))
    chosen = rng.choice(len(found), count, replace=False, p=weights / weights.sum())
    return [found[i] for i in sorted(chosen)]


def _places(
    rng: np.random.Generator,
    grid: Grid,
    bones: list[Bone],
    field_: NDArray[np.bool_],
    margin: int,
    shortest: float,
    tries: int,
) -> list[tuple[Bone, float]]:
    """A place for a fracture on every bone of at least this half length that comes within ``margin`` of no edge."""
    middle = (grid.side - 1) / 2
    found = []
    for bone in bones:
        for _ in range(tries):
            span = (0.72, 0.97) if bone.name in ("radius", "ulna") else (-0.75, 0.75)
            place = float(rng.uniform(*span) * bone.half_length)
            x, y = bone.x + place * np.sin(bone.angle), bone.y + place * np.cos(bone.angle)
            row, column = (int(at / grid.pitch + middle) for at in (y, x))
            near = margin <= row < SIDE - margin and margin <= column < SIDE - margin
            clear = all(abs(place - plate) > 3.0 for plate in bone.plates)
            if near and clear and bone.half_length > shortest and field_[row, column]:
                found.append((bone, place))
                break
    return found


def _subtlety(attenuation: Plane, change: Plane, site: Site) -> float:
    """1 / (1 + d'/20) for the detectability d' of an ideal observer in white quantum noise; 1 is invisible."""
    with_it = site.photons * np.exp(-attenuation)
    without = site.photons * np.exp(-(attenuation - change))
    detectability = np.sqrt(((with_it - without) ** 2 / (0.5 * (with_it + without))).sum())
    return float(1 / (1 + detectability / 20))
