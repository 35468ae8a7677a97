"""The phantom: exact masks, the same on every machine, and shortcuts where they were planted."""

from __future__ import annotations

from collections.abc import Callable
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
from fracbench_plugins.datasets.phantom.geometry import Grid
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


@pytest.mark.parametrize("split", SPLITS)
def test_the_bytes_are_the_pinned_ones(split: str) -> None:
    dataset = Phantom(train=32, val=32, test=128 if split == "test" else 32)
    assert dataset.fingerprint(split) == FINGERPRINTS[split]


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
