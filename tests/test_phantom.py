"""The phantom: exact masks, the same on every machine, and shortcuts where they were planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fracbench.contracts import InputError
from fracbench_plugins.datasets.phantom import Phantom, draw, scene, shelf
from fracbench_plugins.datasets.phantom.acquisition import SITES
from fracbench_plugins.datasets.phantom.anatomy import Patient, draw_patient
from fracbench_plugins.datasets.phantom.draw import LURES, SPLITS, make
from fracbench_plugins.datasets.phantom.fractures import KINDS, draw_fracture, outline
from fracbench_plugins.datasets.phantom.geometry import Bone, Fragment, Grid, Shape, Surface, paths
from fracbench_plugins.datasets.phantom.reader import second_outlines
from fracbench_plugins.datasets.phantom.scene import VIEWS, Lures, Picture, _broken, _field, _Pose, draw_tempting

# pixels and masks; another value means other data, and every result on it is void
FINGERPRINTS = {
    "test": "7cdff035a060ba9550a6e3fe4fe96a6dd5e7ae9780ba84269bc985e86fffc4e9",  # the 128 images of phantom-v1
    "train": "ee4bdc7301f503fd91a614a5af45c73ca3aac953f9ddae9e6b2a8caafd6df63e",  # of the other splits the first 32
    "val": "d518d25ca3dbc54f57e3ad4da5ef9fa20c16f80618783586a64d2e0542641a8e",
    "test-shift-site": "050f490dc0a0a3f558065078c3ea65287b8266898bdbe23880f3ebef9519ca53",
    "test-shift-shortcut": "7b194418e8002b95340814044ce13c699d26b1850f0b0d691fcc2e261383893e",
}
AGREE = {"train": 0.6, "val": 0.5, "test": 0.5, "test-shift-site": 0.5, "test-shift-shortcut": 0.2}
RNG = np.random.default_rng(3)


def tube(**changes: float) -> Bone:
    """A straight shaft: half width 5 mm, wall 2 mm, round."""
    fields = {"x": 0.0, "y": 0.0, "angle": 0.0, "half_length": 40.0, "middle": 5.0, "proximal": 5.0, "distal": 5.0,
              "depth": 1.0, "cortex": 2.0, "shell": 2.0, "marrow": 1.0}  # fmt: skip
    return Bone("tube", **fields | changes)


def surface(lean: float = 0.3, gap: float = 1.0, place: float = 0.0) -> Surface:
    return Surface(place, 0.4, lean, gap, ((0.2, 1.1, 0.5),))


@pytest.mark.parametrize("split", SPLITS)
def test_the_bytes_are_the_pinned_ones(split: str) -> None:
    dataset = Phantom(train=32, val=32, test=128 if split == "test" else 32)
    assert dataset.fingerprint(split) == FINGERPRINTS[split]


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


@pytest.fixture
def posed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Patient, str]]:
    """Patient and view of every picture that ``make`` asks for; none is rendered."""
    asked: list[tuple[Patient, str]] = []

    def note(_pose: object, _own: object, patient: Patient, view: str, *_: object) -> Picture:
        asked.append((patient, view))
        return Picture(np.zeros((1, 1), np.uint8), np.zeros((0, 1, 1), bool))

    monkeypatch.setattr(draw, "render", note)
    return asked


def test_a_label_says_nothing_of_patient_and_view(posed: list[tuple[Patient, str]]) -> None:
    for index in range(2000):
        make(0, "test", index, LURES["test"])
    traits = [
        (p.density, p.skin, p.fat, p.scale, p.child, len(p.bones), *(view == name for name in VIEWS))
        for p, view in posed
    ]
    normal, fractured = (np.array(traits[label::2], dtype=float) for label in (0, 1))
    error = np.sqrt((normal.var(0) + fractured.var(0)) / len(normal))
    assert (np.abs(normal.mean(0) - fractured.mean(0)) < 4 * error).all()


@pytest.mark.parametrize("pair", range(3))
def test_a_training_pair_is_one_limb_before_and_after_it_broke(pair: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bones, canals, texture and density of both are the same; only broken bones are then drawn again."""
    drawn: list[np.ndarray] = []
    original = scene._bone_attenuation

    def note(*given: Any) -> Any:
        box, added = original(*given)
        drawn.append(added)
        return box, added

    monkeypatch.setattr(scene, "_bone_attenuation", note)
    normal = make(0, "train", 2 * pair, LURES["train"])
    whole = drawn.copy()
    drawn.clear()
    fractured = make(0, "train", 2 * pair + 1, LURES["train"])
    assert normal.facts["patient"] == fractured.facts["patient"] and not normal.kinds
    assert len(drawn) == len(whole) + len(fractured.kinds)
    assert all(np.array_equal(one, other) for one, other in zip(whole, drawn[: len(whole)], strict=True))


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
    assert all(abs(share - AGREE[split]) < 0.03 for share in agree.values()), agree


def test_patients_never_cross_splits_and_a_group_is_a_patient(posed: list[tuple[Patient, str]]) -> None:
    patients: dict[str, set[str]] = {}
    for split in SPLITS:
        posed.clear()
        groups = [make(0, split, index, LURES[split]).facts["patient"] for index in range(32)]
        bodies = [repr(patient) for patient, _ in posed]
        assert len(set(zip(groups, bodies, strict=True))) == len(set(groups)) == len(set(bodies)) < 32
        patients[split] = set(bodies)
    assert len(set.union(*patients.values())) == sum(map(len, patients.values()))


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


def test_planted_probabilities_hold_in_train_and_val_and_nowhere_else() -> None:
    lured = Phantom(train=32, val=32, test=32, marker=1, cast=0)
    for split in ("train", "val"):
        facts = [(sample.label == 1, sample.metadata) for sample in lured.samples(split)]
        assert all((fact["marker"] == "R") == fractured == (not fact["cast"]) for fractured, fact in facts)
    assert Phantom(val=32, marker=1.0, cast=-0.0).fingerprint("val") == lured.fingerprint("val")
    assert lured.fingerprint("test") == Phantom(train=32, val=32, test=32).fingerprint("test")
    assert lured.fingerprint("val") != Phantom(train=32, val=32, test=32).fingerprint("val")


def test_the_marker_is_where_its_mask_is() -> None:
    """The same picture with the other letter differs from it in the rectangle that is named, and nowhere far off."""
    made = [make(0, "train", 0, Lures(agree, 0.0, 0.0)) for agree in (0.0, 1.0)]
    assert [picture.facts["marker"] for picture in made] == ["R", "L"] and made[0].marker == made[1].marker
    top, bottom, left, right = made[0].marker
    assert (bottom - top, right - left) == (21, 15)
    changed = made[0].pixels.astype(int) - made[1].pixels
    inside = np.abs(changed[top:bottom, left:right]).sum()
    wide = np.abs(changed[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4]).sum()
    assert inside > 20 * 21 * 15 and inside > 0.8 * wide
    outside = np.ones(changed.shape, bool)
    outside[max(0, top - 24) : bottom + 24, max(0, left - 24) : right + 24] = False
    assert np.abs(changed[outside]).max() <= 2


def test_samples_tell_what_they_show() -> None:
    dataset = Phantom(train=32, val=32, test=32)
    for sample in dataset.samples("test"):
        picture = dataset.read(sample)
        assert picture.image.shape == (256, 256) and len(picture.instances) <= 3
        assert dataset.marker_mask(sample).sum() == 21 * 15
        assert (len(picture.instances) > 0) == bool(sample.label) == ("subtlety" in sample.metadata)
        if sample.label:
            assert 0 < float(sample.metadata["subtlety"]) < 1
            assert len(str(sample.metadata["kinds"]).split("+")) == len(picture.instances)


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


def test_where_no_bar_can_be_drawn_lines_tell_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fracbench_plugins.datasets.phantom.SECONDS_BETWEEN_LINES", -1.0)
    assert list(Phantom()._told(range(3), "test")) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines()[1:] == [
        "phantom: drawing test, 32 of 128 pictures", "phantom: drawing test, 64 of 128 pictures"
    ]  # fmt: skip


def test_a_longer_test_split_begins_with_the_shorter_one() -> None:
    short, long = Phantom(test=32).samples("test"), Phantom(test=64).samples("test")
    assert long[:32] == short and Phantom(test=32).fingerprint("test") != Phantom(test=64).fingerprint("test")


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:1000],
    "empty": lambda _: b"",
    "no zip": lambda _: b"not a zip",
    # the method of compression and the sizes in the headers, and what is compressed
    **{f"bit {at}": partial(flipped, at=at) for at in (6, 8, 9, 18, 26, 200, 5000, -30, -60)},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_missing_cache_gives_the_same_pictures(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(shelf, "SHARD", 2)
    made = [make(0, "val", index, LURES["val"]) for index in range(2)]
    first = shelf.shard(0, "val", LURES["val"], 0, made.__getitem__)
    (file,) = tmp_path.rglob("*.npz")
    kept = shelf.shard(0, "val", LURES["val"], 0, lambda index: pytest.fail("made again"))
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    again = shelf.shard(0, "val", LURES["val"], 0, made.__getitem__)
    noted = [shelf.notes(0, "val", LURES["val"], 0, lambda: pytest.fail("unpacked"))]
    file.write_bytes(b"")
    noted.append(shelf.notes(0, "val", LURES["val"], 0, lambda: made))
    for notes in noted:
        assert [note.facts for note in notes] == [picture.facts for picture in made]
        assert [note.marker for note in notes] == [picture.marker for picture in made]
    for pictures in (kept, again):
        for one, other in zip(first, pictures, strict=True):
            assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.instances, other.instances)
            names = ("marker", "kinds", "bones", "subtleties", "facts")
            assert all(getattr(one, name) == getattr(other, name) for name in names)


def test_the_second_reader_outlines_the_same_fracture_otherwise() -> None:
    picture = make(0, "test", 1, LURES["test"])
    other = second_outlines(picture.instances, "test-00001")
    assert np.array_equal(other, second_outlines(picture.instances, "test-00001"))
    assert other.shape == picture.instances.shape and other.any((1, 2)).all()
    both, either = (other & picture.instances).sum(), (other | picture.instances).sum()
    assert 0.2 < both / either < 1


def test_the_second_reader_differs_as_much_as_is_stated() -> None:
    """On a square: displaced by a normal draw of 2 px, from 1 px too tight to 3 px too wide."""
    square = np.zeros((1, 64, 64), bool)
    square[0, 22:42, 22:42] = True
    drawn = [np.nonzero(second_outlines(square, f"image-{number}")[0].any(1))[0] for number in range(600)]
    middles = np.array([(rows[0] + rows[-1]) / 2 for rows in drawn]) - 31.5
    sides = np.array([len(rows) for rows in drawn])
    assert abs(middles.mean()) < 0.3 and middles.std() == pytest.approx(2.0, abs=0.2)
    assert set(sides) == {18, 20, 22, 24, 26}


def test_patients_differ_and_children_have_growth_plates() -> None:
    patients = [draw_patient(np.random.default_rng(i)) for i in range(30)]
    assert {p.child for p in patients} == {True, False}
    assert all(any(bone.plates for bone in p.bones) == p.child for p in patients)
    assert np.std([p.scale for p in patients]) > 0.05


def test_wrong_parameters_are_one_line() -> None:
    with pytest.raises(InputError, match="leave --data out"):
        Phantom(root="x")
    for lure in ({"marker": 1.5}, {"cast": "yes"}, {"site": -0.1}, {"marker": True}, {"cast": float("nan")}):
        (name,) = lure
        with pytest.raises(InputError, match=f"phantom {name} is a probability between 0 and 1"):
            Phantom(**lure)
    wrong: list[dict[str, Any]] = [{"train": 1}, {"test": 2.5}, {"seed": -1}, {"seed": True}, {"val": "9"}]
    for params in wrong:
        (name,) = params
        with pytest.raises(InputError, match=f"phantom {name} must be a whole number"):
            Phantom(**params)
    with pytest.raises(InputError, match="has no split 'tets'"):
        Phantom().samples("tets")
