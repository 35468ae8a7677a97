"""FracAtlas' real files: every count, orientation, outline and trap that its page tells."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from fracbench.contracts import Sample
from fracbench_plugins.datasets._near_duplicates import near_duplicates
from fracbench_plugins.datasets.fracatlas import SPLITS, FracAtlas
from PIL import Image, ImageFile
from test_fracatlas import COCO, NEAR, REAL, everything, splits_of


@pytest.fixture(scope="module")
def real() -> FracAtlas:
    if not REAL.is_dir():
        pytest.skip(f"the FracAtlas files are not at {REAL}")
    return FracAtlas(REAL)


@pytest.fixture(scope="module")
def samples(real: FracAtlas) -> dict[str, Sample]:
    return everything(real)


def real_files() -> Iterable[Path]:
    return sorted((REAL / "images").glob("*/*.jpg"))


@pytest.mark.fracatlas
def test_real_counts(real: FracAtlas, samples: dict[str, Sample]) -> None:
    all_in_train = FracAtlas(REAL, fractions=(1, 0, 0)).samples("train")
    assert Counter(sample.label for sample in all_in_train) == {1: 615, 0: 3117}
    assert all(sample.annotated for sample in all_in_train)
    coco = json.loads((REAL / COCO).read_text())
    assert sum(len(a["segmentation"]) for a in coco["annotations"]) == 796
    shares = {split: len(real.samples(split)) / len(samples) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.02)
    assert all(70 > 100 * np.mean([s.label for s in real.samples(split)]) > 10 for split in SPLITS)


@pytest.mark.fracatlas
def test_real_annotation_decides_against_the_table(real: FracAtlas) -> None:
    table = (REAL / "dataset.csv").read_text().splitlines()
    (row,) = (line.split(",") for line in table if line.startswith("IMG0003298.jpg"))
    assert row[table[0].split(",").index("fractured")] == "0"
    everywhere = {sample.id: sample for sample in FracAtlas(REAL, fractions=(1, 0, 0)).samples("train")}
    sample = everywhere["IMG0003298.jpg"]
    assert sample.label == 1 and sample.annotated and real.read(sample).instances.any()


@pytest.mark.fracatlas
def test_real_metadata(samples: dict[str, Sample]) -> None:
    values = {key: {s.metadata[key] for s in samples.values()} for key in samples["IMG0000263.jpg"].metadata}
    assert values["body_part"] == {"hand", "leg", "hip", "shoulder", "mixed"}
    assert values["hardware"] == values["multiscan"] == {True, False}
    assert {"frontal", "lateral", "oblique", "frontal+lateral"} <= values["view"]


@pytest.mark.fracatlas
def test_real_orientation(real: FracAtlas) -> None:
    turned = {}
    for path in real_files():
        with Image.open(path) as picture:
            orientation = picture.getexif().get(0x0112, 1)
            if orientation != 1:
                turned[path] = (orientation, picture.size, np.asarray(picture.convert("L")) / 255)
    assert len(turned) == 25
    for path, (orientation, (width, height), stored) in turned.items():
        radiograph = real.read(Sample(path.name, 1, path.name))
        swapped = orientation >= 5
        assert radiograph.image.shape == ((width, height) if swapped else (height, width))
        assert radiograph.instances.shape[1:] == radiograph.image.shape
        assert radiograph.instances.any((1, 2)).all()
        expected = {3: stored[::-1, ::-1], 6: np.rot90(stored, -1), 8: np.rot90(stored)}[orientation]
        np.testing.assert_allclose(radiograph.image, expected, atol=1e-6)
    assert turned[REAL / "images/Fractured/IMG0002588.jpg"][0] == 3


@pytest.mark.fracatlas
def test_real_masks_lie_in_every_fractured_image(real: FracAtlas) -> None:
    shares = []
    instances = 0
    for path in sorted((REAL / "images" / "Fractured").iterdir()):
        radiograph = real.read(Sample(path.name, 1, path.name))
        assert radiograph.instances.any((1, 2)).all()
        instances += len(radiograph.instances)
        shares.append(radiograph.instances.any(0).mean())
    assert instances == 796
    assert np.median(shares) == pytest.approx(0.0032, abs=0.0005)


@pytest.mark.fracatlas
def test_real_truncated_files_load(real: FracAtlas) -> None:
    truncated = []
    for path in (REAL / "images" / "Non_fractured").iterdir():
        if not path.read_bytes().endswith(b"\xff\xd9"):
            truncated.append(path.name)
    truncated = [name for name in truncated if _refused(REAL / "images" / "Non_fractured" / name)]
    assert len(truncated) == 59
    for name in truncated:
        image = real.read(Sample(name, 0, name)).image
        assert np.isfinite(image).all() and image.std() > 0
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def _refused(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except OSError:
        return True
    return False


@pytest.mark.fracatlas
def test_real_groups_never_cross_splits(real: FracAtlas, samples: dict[str, Sample]) -> None:
    assert all(len(splits) == 1 for splits in splits_of(real).values())
    everywhere = {s.id: s for s in FracAtlas(REAL, fractions=(1, 0, 0)).samples("train")}
    listed = [[name for name in group if name in everywhere] for group in json.loads(NEAR.read_text())["groups"]]
    for group in listed:
        assert len({everywhere[name].group for name in group}) <= 1
    labels = defaultdict(set)
    for sample in everywhere.values():
        labels[sample.group].add(sample.label)
    ambiguous = {group for group, found in labels.items() if len(found) == 2}
    assert len(ambiguous) == 4
    assert not ambiguous & {s.group for split in ("val", "test") for s in real.samples(split)}
    assert {everywhere[name].group for name in everywhere.keys() - samples.keys()} <= ambiguous


@pytest.mark.fracatlas
def test_real_fingerprint_is_repeatable(real: FracAtlas) -> None:
    assert real.fingerprint("test") == FracAtlas(REAL).fingerprint("test") != real.fingerprint("val")


@pytest.mark.slow
@pytest.mark.fracatlas
def test_real_near_duplicates_are_those_of_the_list(real: FracAtlas) -> None:
    listed = (sorted(real._files.keys() & set(group)) for group in json.loads(NEAR.read_text())["groups"])
    assert near_duplicates(real._pictures()) == sorted(group for group in listed if len(group) > 1)
