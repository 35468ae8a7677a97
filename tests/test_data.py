"""Fitting, choosing, batching and loading, on pictures whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from fracbench.contracts import Radiograph, Sample
from fracbench.data import choose, fit, load, logical_batches
from fracbench.errors import InputError


def radiograph(height: int, width: int, *boxes: tuple[int, int, int, int], value: float = 0.5) -> Radiograph:
    """A flat picture with one instance for each box (top, bottom, left, right)."""
    instances = np.zeros((len(boxes), height, width), bool)
    for instance, (top, bottom, left, right) in zip(instances, boxes, strict=True):
        instance[top:bottom, left:right] = True
    return Radiograph(np.full((height, width), value, np.float32), instances)


@dataclass
class Made:
    """A dataset in memory that counts what is read."""

    pictures: dict[str, Radiograph]
    read_ids: list[str] = field(default_factory=list)
    splits: Sequence[str] = ("test",)

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(name, int(len(p.instances) > 0), name) for name, p in self.pictures.items()]

    def read(self, sample: Sample) -> Radiograph:
        self.read_ids.append(sample.id)
        return self.pictures[sample.id]

    def fingerprint(self, split: str) -> str:
        return "0" * 64


def test_fit_at_native_size_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    given = Radiograph(rng.random((16, 16), np.float32), rng.random((3, 16, 16)) > 0.5)
    fitted = fit(given, 16)
    np.testing.assert_allclose(fitted.image, given.image, atol=1e-6)
    np.testing.assert_array_equal(fitted.instances, given.instances)
    assert fitted.valid.all()
    assert fitted.image.dtype == np.float32 and fitted.instances.dtype == bool


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_fit_centres_on_black_padding(scale: int) -> None:
    fitted = fit(radiograph(8 * scale, 16 * scale, (0, 8 * scale, 0, 16 * scale)), 16)
    expected = np.zeros((16, 16), bool)
    expected[4:12] = True
    np.testing.assert_array_equal(fitted.valid, expected)
    np.testing.assert_array_equal(fitted.instances[0], expected)
    assert not fitted.image[~expected].any()
    np.testing.assert_allclose(fitted.image[5:11], 0.5, atol=1e-6)


def test_fit_keeps_area_and_place_of_a_mask() -> None:
    fitted = fit(radiograph(64, 64, (16, 32, 40, 56)), 16)
    expected = np.zeros((16, 16), bool)
    expected[4:8, 10:14] = True
    np.testing.assert_array_equal(fitted.instances[0], expected)


def test_fit_keeps_the_best_covered_pixel_of_a_tiny_instance() -> None:
    fitted = fit(radiograph(100, 60, (50, 51, 30, 31), (0, 1, 0, 1), (99, 100, 59, 60)), 10)
    assert fitted.instances.sum((1, 2)).tolist() == [1, 1, 1]
    assert np.argwhere(fitted.instances[0]).tolist() == [[5, 5]]
    assert (fitted.instances <= fitted.valid).all()


@pytest.mark.parametrize("shape", [(3, 1000), (1000, 3), (37, 53), (5, 7), (1, 1)])
def test_fit_never_loses_an_instance(shape: tuple[int, int]) -> None:
    height, width = shape
    corners = [(r, r + 1, c, c + 1) for r in {0, height - 1} for c in {0, width - 1}]
    fitted = fit(radiograph(height, width, *corners), 24)
    assert fitted.instances.any((1, 2)).all()
    assert (fitted.instances <= fitted.valid).all()
    assert fitted.image.min() >= 0 and fitted.image.max() <= 1


def test_fit_aligns_image_and_mask() -> None:
    given = radiograph(90, 61, (20, 44, 10, 34))
    bright = Radiograph(given.instances[0].astype(np.float32), given.instances)
    for size in (32, 200):
        fitted = fit(bright, size)
        differ = (fitted.image > 0.5) ^ fitted.instances[0]
        assert differ.sum() <= 0.1 * fitted.instances[0].sum()


def test_fit_takes_a_radiograph_without_instances() -> None:
    assert fit(radiograph(10, 12), 8).instances.shape == (0, 8, 8)


SAMPLES = [Sample(f"{i:03}", i % 3 == 0, f"g{i}") for i in range(30)]


def test_choose_is_by_seed_not_by_order() -> None:
    chosen = choose(SAMPLES, 4, 6, seed=1)
    assert chosen == choose(SAMPLES[::-1], 4, 6, seed=1)
    assert [s.id for s in chosen] == sorted(s.id for s in chosen)
    assert sum(s.label for s in chosen) == 4 and len(chosen) == 10
    assert chosen != choose(SAMPLES, 4, 6, seed=2)
    assert set(s.id for s in choose(SAMPLES, 3, 6, seed=1)) < set(s.id for s in chosen)
    assert choose(SAMPLES, None, None, seed=1) == SAMPLES


def test_choose_says_how_many_there_are() -> None:
    with pytest.raises(InputError, match="11 fractured images are asked for and there are 10") as caught:
        choose(SAMPLES, 11, 21, seed=0)
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="x: label is 2; write 0"):
        choose([Sample("x", 2, "x")], None, None, seed=0)


def test_logical_batches_are_sorted_and_complete() -> None:
    batches = logical_batches(SAMPLES[::-1], 8)
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert [s for batch in batches for s in batch] == SAMPLES
    with pytest.raises(InputError, match="000: two samples have this id"):
        logical_batches([*SAMPLES, SAMPLES[0]], 8)


def test_load_reads_only_its_batch() -> None:
    dataset = Made(
        {
            "a": radiograph(20, 30, (2, 8, 2, 8), (10, 15, 20, 28)),
            "b": radiograph(30, 20),
            "c": radiograph(9, 9),
        }
    )
    batch = load(dataset, dataset.samples("test")[:2], 16)
    assert dataset.read_ids == ["a", "b"] and batch.ids == ("a", "b") and batch.groups == ("a", "b")
    assert batch.images.shape == (2, 1, 16, 16) and batch.images.dtype == torch.float32
    assert batch.labels.tolist() == [1, 0] and batch.labels.dtype == torch.int64
    assert [len(instances) for instances in batch.instances] == [2, 0]
    assert torch.equal(batch.masks[0], batch.instances[0].any(0)) and not batch.masks[1].any()
    assert batch.valid.shape == (2, 16, 16) and batch.annotated.tolist() == [True, True]
    assert batch.metadata == ({}, {})


NAN = radiograph(4, 4, value=float("nan"))
BYTES = radiograph(4, 4, value=255)
EMPTY = radiograph(4, 4, (0, 0, 0, 0))
OTHER = Radiograph(np.zeros((4, 4), np.float32), np.ones((1, 5, 4), bool))


@pytest.mark.parametrize(
    ("sample", "picture", "text"),
    [
        (Sample("x", 1, "g"), radiograph(4, 4), "x: fractured without a mask"),
        (Sample("x", 2, "g"), radiograph(4, 4), "x: label is 2; write 0"),
        (Sample("x", 0, "g"), radiograph(4, 4, (0, 2, 0, 2)), "x: not fractured but has a mask"),
        (Sample("x", 0, "g"), NAN, "x: image has non-finite pixels"),
        (Sample("x", 0, "g"), BYTES, r"x: pixels span 255 to 255; scale them to \[0, 1\]"),
        (Sample("x", 1, "g"), EMPTY, "x: an instance has an empty mask"),
        (Sample("x", 1, "g"), OTHER, "x: instances are bool"),
        (
            Sample("x", 0, "g"),
            Radiograph(np.zeros((1, 4, 4), np.float32), OTHER.instances),
            "x: image has shape",
        ),
    ],
)
def test_load_refuses(sample: Sample, picture: Radiograph, text: str) -> None:
    with pytest.raises(InputError, match=text):
        load(Made({"x": picture}), [sample], 8)


def test_load_names_every_fault_and_takes_the_unannotated() -> None:
    dataset = Made({"x": NAN, "y": radiograph(4, 4), "z": BYTES})
    with pytest.raises(InputError) as caught:
        load(dataset, [Sample(name, 0, name) for name in "xyz"], 8)
    assert [fault[0] for fault in caught.value.faults] == ["x", "z"]
    batch = load(dataset, [Sample("y", 1, "y", annotated=False)], 8)
    assert batch.annotated.tolist() == [False] and batch.labels.tolist() == [1]
    with pytest.raises(InputError, match="no samples"):
        load(dataset, [], 8)
