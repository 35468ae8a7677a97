"""Fractures as geometry: rays, fragments, and masks that hold exactly what a fracture changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fracbench_plugins.datasets.phantom import scene
from fracbench_plugins.datasets.phantom.draw import LURES, make
from fracbench_plugins.datasets.phantom.fractures import KINDS, draw_fracture, outline
from fracbench_plugins.datasets.phantom.geometry import Bone, Fragment, Grid, Shape, Surface, paths
from fracbench_plugins.datasets.phantom.scene import Picture

RNG = np.random.default_rng(3)


def tube(**changes: float) -> Bone:
    """A straight shaft: half width 5 mm, wall 2 mm, round."""
    fields = {"x": 0.0, "y": 0.0, "angle": 0.0, "half_length": 40.0, "middle": 5.0, "proximal": 5.0, "distal": 5.0,
              "depth": 1.0, "cortex": 2.0, "shell": 2.0, "marrow": 1.0}  # fmt: skip
    return Bone("tube", **fields | changes)


def surface(lean: float = 0.3, gap: float = 1.0, place: float = 0.0) -> Surface:
    return Surface(place, 0.4, lean, gap, ((0.2, 1.1, 0.5),))


def test_a_ray_through_the_middle_of_a_tube_has_the_length_of_its_walls_and_its_inside() -> None:
    cortical, trabecular = paths(Shape(tube()), np.array([[0.0]]), np.array([[0.0, 4.0, 5.5]]))
    assert cortical[0] == pytest.approx([4.0, 6.0, 0.0]) and trabecular[0] == pytest.approx([6.0, 0.0, 0.0])


@pytest.mark.parametrize("lean", [0.3, -0.3])
def test_two_fragments_without_a_gap_are_the_whole_bone(lean: float) -> None:
    s, t = np.linspace(-30, 30, 61)[:, None], np.linspace(-6, 6, 49)[None]
    cut = surface(lean, gap=0.0)
    whole, parts = Shape(tube()), Shape(tube(), (Fragment(((cut, -1),)), Fragment(((cut, 1),))))
    for one, other in zip(paths(whole, s, t), paths(parts, s, t), strict=True):
        assert np.allclose(one, other, atol=1e-9)


def test_a_gap_takes_away_what_lies_in_it() -> None:
    s, t = np.linspace(-30, 30, 2401)[:, None], np.array([[0.0]])
    cut = Surface(0.0, 0.0, 1e-6, 2.0, ())
    parts = Shape(tube(), (Fragment(((cut, -1),)), Fragment(((cut, 1),))))
    lost = sum(one - other for one, other in zip(paths(Shape(tube()), s, t), paths(parts, s, t), strict=True))
    assert float(lost.sum() * 60 / 2400) == pytest.approx(2.0 * 10.0, rel=0.01), "gap x diameter"


def test_fragments_pushed_into_each_other_overlap() -> None:
    s, t = np.linspace(-6, 6, 121)[:, None], np.array([[0.0]])
    cut = Surface(0.0, 0.0, 0.05, 0.0, ())
    pushed = Shape(tube(), (Fragment(((cut, -1),)), Fragment(((cut, 1),), along=-2.0, reach=8.0)))
    assert float(sum(paths(pushed, s, t)).max()) > 15, "denser than the bone's diameter of 10"


@pytest.mark.parametrize("child", [False, True])
def test_masks_hold_the_change_a_fracture_makes(child: bool) -> None:
    grid = Grid(256, 0.4)
    shares, kinds = [], set()
    for _ in range(40):
        bone = tube(middle=float(RNG.uniform(3, 7)))
        fracture = draw_fracture(RNG, bone, float(RNG.uniform(-15, 15)), child)
        points = bone.local(*grid.points(bone.box(grid)))
        change = sum(after - before for before, after in zip(paths(Shape(bone), *points),
                                                             paths(fracture.shape, *points), strict=True))  # fmt: skip
        mask = outline(change)
        shares.append(np.abs(change)[mask].sum() / np.abs(change).sum())
        kinds.add(fracture.kind)
        assert mask.sum() < 0.35 * mask.size
    assert min(shares) >= 0.95
    assert kinds == set(KINDS) - (set() if child else {"torus"})


@pytest.mark.parametrize("index", [21, 31])  # at the edge of the field
def test_a_mask_ends_where_the_field_does(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fields: list[np.ndarray] = []
    original = scene._field

    def note(rng: np.random.Generator) -> Any:
        fields.append(original(rng))
        return fields[-1]

    monkeypatch.setattr(scene, "_field", note)
    picture = make(0, "test", index, LURES["test"])
    assert not picture.instances.any(0)[~fields[0]].any()


def rendered(index: int, broken: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Picture, np.ndarray]:
    """A picture, and the attenuation before blur that the shutter leaves; if not ``broken``, the bones are whole."""
    seen: dict[str, np.ndarray] = {}

    def whole(own: np.random.Generator, bone: Bone, place: float, child: bool) -> Any:
        return replace(draw_fracture(own, bone, place, child), shape=Shape(bone))

    def note(name: str, at: int, real: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def call(*given: Any) -> np.ndarray:
            seen[name] = given[at].copy()
            return real(*given)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(scene, "expose", note("attenuation", 1, scene.expose))
        patch.setattr(scene, "develop", note("field", 1, scene.develop))
        if not broken:
            patch.setattr(scene, "draw_fracture", whole)
            patch.setattr(scene, "outline", lambda change: np.zeros(change.shape, bool))
        picture = make(0, "test", index, LURES["test"])
    return picture, seen["attenuation"] * seen["field"]


def test_masks_hold_what_differs_from_the_same_picture_rendered_without_the_fracture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for index in range(1, 40, 2):
        (picture, after), (_, before) = (rendered(index, broken, monkeypatch) for broken in (True, False))
        change = np.abs(after - before)
        assert change.sum() > 0 and change[picture.instances.any(0)].sum() >= 0.95 * change.sum()
        assert all(change[instance].sum() > 0 for instance in picture.instances)
        assert picture.instances.any(0).mean() < 0.5
