"""The phantom: exact masks, the same on every machine, and shortcuts where they were planted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from fracbench.contracts import InputError
from fracbench_plugins.datasets.phantom import Phantom, shelf
from fracbench_plugins.datasets.phantom.acquisition import SITES
from fracbench_plugins.datasets.phantom.anatomy import draw_patient
from fracbench_plugins.datasets.phantom.draw import LURES, SPLITS, make
from fracbench_plugins.datasets.phantom.fractures import KINDS, draw_fracture, outline
from fracbench_plugins.datasets.phantom.geometry import Bone, Fragment, Grid, Shape, Surface, paths
from fracbench_plugins.datasets.phantom.reader import second_outlines
from fracbench_plugins.datasets.phantom.scene import VIEWS, _broken, _field, _Pose, draw_tempting

# of the first four test pictures; another value means other data, and every result on it is void
PINNED = "7672f3cb20f3a08cc572806fd33acd7ed9007d7aa35a80493245279d3ebfe7b9"
RNG = np.random.default_rng(3)


def tube(**changes: float) -> Bone:
    """A straight shaft: half width 5 mm, wall 2 mm, round."""
    fields = {"x": 0.0, "y": 0.0, "angle": 0.0, "half_length": 40.0, "middle": 5.0, "proximal": 5.0, "distal": 5.0,
              "depth": 1.0, "cortex": 2.0, "shell": 2.0, "marrow": 1.0}  # fmt: skip
    return Bone("tube", **fields | changes)


def surface(lean: float = 0.3, gap: float = 1.0, place: float = 0.0) -> Surface:
    return Surface(place, 0.4, lean, gap, ((0.2, 1.1, 0.5),))


def test_the_bytes_are_the_pinned_ones() -> None:
    total = hashlib.sha256()
    for index in range(4):
        picture = make(0, "test", index, 0.5)
        total.update(picture.pixels.tobytes() + np.packbits(picture.instances).tobytes())
    assert total.hexdigest() == PINNED


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


def test_what_a_label_decides_is_the_fracture_and_nothing_else() -> None:
    """Normal and fractured pictures have the same anatomy, age, view and look-alikes."""
    facts = [make(0, "test", i, 0.5).facts for i in range(120)]
    for key in ("child", "view"):
        values = sorted({str(f[key]) for f in facts})
        for value in values:
            share = [np.mean([str(f[key]) == value for f in facts[label::2]]) for label in (0, 1)]
            assert abs(share[0] - share[1]) < 0.25, (key, value)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_every_patient_has_a_bone_to_break(view: str) -> None:
    for seed in range(700):
        rng = np.random.default_rng([11, seed])
        patient = draw_patient(rng)
        x, y, width = VIEWS[view]
        grid = Grid(256, width * patient.scale * rng.uniform(0.94, 1.1) / 256)
        pose = _Pose(rng, x * patient.scale, y * patient.scale)
        broken = _broken(rng, grid, [pose.bone(bone) for bone in patient.bones], _field(rng))
        assert 1 <= len(broken) <= 3


@pytest.mark.parametrize("split", SPLITS)
def test_shortcuts_agree_with_the_label_as_often_as_planted(split: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [
        (i % 2 == 1, draw_tempting(rng, i % 2 == 1, LURES[split], split == "test-shift-site")) for i in range(4000)
    ]
    agree = {
        "marker": np.mean([(t.marker == "R") == y for y, t in drawn]),
        "cast": np.mean([t.cast == y for y, t in drawn]),
    }
    if split == "test-shift-site":
        assert {t.site.name for _, t in drawn} == {"harbour"}
    else:
        agree["site"] = np.mean([(t.site == SITES[0]) == y for y, t in drawn])
    assert all(abs(share - LURES[split]) < 0.03 for share in agree.values()), agree


def test_patients_never_cross_splits_and_some_have_two_pictures() -> None:
    dataset = Phantom(train=32, val=32, test=32)
    groups = {split: [sample.group for sample in dataset.samples(split)] for split in SPLITS}
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not set(groups[one]) & set(groups[other])
        assert len(set(groups[one])) < 32


def test_samples_tell_what_they_show() -> None:
    dataset = Phantom(train=32, val=32, test=32)
    for sample in dataset.samples("test"):
        picture = dataset.read(sample)
        assert picture.image.shape == (256, 256) and len(picture.instances) <= 3
        assert (len(picture.instances) > 0) == bool(sample.label) == ("subtlety" in sample.metadata)
        if sample.label:
            assert 0 < float(sample.metadata["subtlety"]) < 1
            assert len(str(sample.metadata["kinds"]).split("+")) == len(picture.instances)


def test_a_longer_test_split_begins_with_the_shorter_one() -> None:
    short, long = Phantom(test=32).samples("test"), Phantom(test=64).samples("test")
    assert long[:32] == short and Phantom(test=32).fingerprint("test") != Phantom(test=64).fingerprint("test")


def test_a_damaged_or_missing_cache_gives_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(shelf, "SHARD", 2)
    first = shelf.shard(0, "val", 0.5, 0, lambda index: make(0, "val", index, 0.5))
    (file,) = tmp_path.rglob("*.npz")
    kept = shelf.shard(0, "val", 0.5, 0, lambda index: pytest.fail("made again"))
    file.write_bytes(file.read_bytes()[:1000])
    again = shelf.shard(0, "val", 0.5, 0, lambda index: make(0, "val", index, 0.5))
    for pictures in (kept, again):
        for one, other in zip(first, pictures, strict=True):
            assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.instances, other.instances)
            assert (one.kinds, one.subtleties, one.facts) == (other.kinds, other.subtleties, other.facts)


def test_the_second_reader_outlines_the_same_fracture_otherwise() -> None:
    picture = make(0, "test", 1, 0.5)
    other = second_outlines(picture.instances, "test-00001")
    assert np.array_equal(other, second_outlines(picture.instances, "test-00001"))
    assert other.shape == picture.instances.shape and other.any((1, 2)).all()
    both, either = (other & picture.instances).sum(), (other | picture.instances).sum()
    assert 0.2 < both / either < 1


def test_patients_differ_and_children_have_growth_plates() -> None:
    patients = [draw_patient(np.random.default_rng(i)) for i in range(30)]
    assert {p.child for p in patients} == {True, False}
    assert all(any(bone.plates for bone in p.bones) == p.child for p in patients)
    assert np.std([p.scale for p in patients]) > 0.05


def test_wrong_parameters_are_one_line() -> None:
    with pytest.raises(InputError, match="leave --data out"):
        Phantom(root="x")
    with pytest.raises(InputError, match="test must be at least 2"):
        Phantom(test=1)
    with pytest.raises(InputError, match="has no split 'tets'"):
        Phantom().samples("tets")
