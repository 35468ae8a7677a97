"""FracAtlas: a made tree in the official layout, which runs everywhere."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fracbench.cli import main
from fracbench.contracts import Sample
from fracbench.errors import InputError
from fracbench_plugins.datasets import _groups
from fracbench_plugins.datasets.fracatlas import SPLITS, FracAtlas
from PIL import Image, ImageFile

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "FracAtlas"
NEAR = REAL.with_name("FracAtlas-near-duplicates.json")
COCO = "Annotations/COCO JSON/COCO_fracture_masks.json"
SQUARE = [2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0]
TRIANGLE = [20.0, 10.0, 28.0, 10.0, 24.0, 18.0]
COLUMNS = "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """40 images, the first 20 fractured, 19 of them annotated; category id 1, as in the later releases."""
    root = tmp_path / "FracAtlas"
    rng = np.random.default_rng(0)
    names = [f"IMG{i:07}.jpg" for i in range(40)]
    for folder in ("images/Fractured", "images/Non_fractured", Path(COCO).parent):
        (root / folder).mkdir(parents=True)
    images, annotations = [], []
    for i, name in enumerate(names):
        place = root / "images" / ("Fractured" if i < 20 else "Non_fractured") / name
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(place)
        if i < 19:
            images.append({"id": 100 + i, "width": 32, "height": 24, "file_name": name})
            annotations.append({"image_id": 100 + i, "category_id": 1, "segmentation": [SQUARE, TRIANGLE]})
    categories = [{"id": 0, "name": "hardware"}, {"id": 1, "name": "Fracture"}]
    annotations.append({"image_id": 100, "category_id": 0, "segmentation": [[0, 0, 5, 0, 5, 5]]})
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (root / COCO).write_text(json.dumps(coco))
    rows = [COLUMNS, *(f"{name},1,0,0,0,0,0,1,0,0,1,1,0" for name in names[:-1]), ""]
    (root / "dataset.csv").write_bytes("\r\n".join(rows).encode())
    return root


def everything(dataset: FracAtlas) -> dict[str, Sample]:
    return {sample.id: sample for split in SPLITS for sample in dataset.samples(split)}


def splits_of(dataset: FracAtlas) -> dict[str, set[str]]:
    """The splits in which each group is found."""
    found: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        for sample in dataset.samples(split):
            found[sample.group].add(split)
    return found


def test_made_labels_masks_and_metadata(made: Path) -> None:
    dataset = FracAtlas(made)
    assert list(dataset.splits) == ["train", "val", "test"]
    samples = everything(dataset)
    assert len(samples) == 40
    assert [sample.label for _, sample in sorted(samples.items())] == [1] * 20 + [0] * 20
    assert [name for name, sample in samples.items() if not sample.annotated] == ["IMG0000019.jpg"]
    facts = {"body_part": "hand", "hardware": False, "multiscan": True, "view": "frontal+lateral"}
    assert samples["IMG0000000.jpg"].metadata == facts
    assert samples["IMG0000039.jpg"].metadata == {}

    fractured = dataset.read(samples["IMG0000000.jpg"])
    assert fractured.image.shape == (24, 32) and fractured.image.dtype == np.float32
    assert fractured.instances.shape == (1, 24, 32), "an annotation of two polygons is one fracture"
    assert fractured.instances[0, 3:9, 2:8].all() and fractured.instances[0, :, :20].sum() == 49
    assert fractured.instances[0, 12, 24]
    assert dataset.read(samples["IMG0000030.jpg"]).instances.shape == (0, 24, 32)


def test_made_groups_stay_together(made: Path) -> None:
    copies = ["IMG0000022.jpg", "IMG0000023.jpg"]
    folder = made / "images" / "Non_fractured"
    (folder / copies[1]).write_bytes((folder / copies[0]).read_bytes())
    near = [["IMG0000023.jpg", "elsewhere.jpg"], ["elsewhere.jpg", "IMG0000030.jpg"]]
    for path in (made / "near-duplicates.json", made.with_name("FracAtlas-near-duplicates.json")):
        assert everything(FracAtlas(made))["IMG0000030.jpg"].group == "IMG0000030.jpg"
        path.write_text(json.dumps({"groups": near}))
        samples = everything(FracAtlas(made))
        assert {samples[name].group for name in (*copies, "IMG0000030.jpg")} == {copies[0]}
        assert all(len(splits) == 1 for splits in splits_of(FracAtlas(made)).values())
        path.unlink()


def test_made_ambiguous_group_is_never_in_val_or_test(made: Path) -> None:
    pair = ["IMG0000003.jpg", "IMG0000033.jpg"]
    (made / "pairs.json").write_text(json.dumps({"groups": [pair]}))
    places = Counter()
    for seed in range(20):
        dataset = FracAtlas(made, seed=seed, groups="pairs.json")
        found = [split for split in SPLITS for sample in dataset.samples(split) if sample.id in pair]
        assert found in ([], ["train", "train"])
        places[len(found)] += 1
    assert set(places) == {0, 2}


def test_made_fractions_and_seed(made: Path) -> None:
    assert len(FracAtlas(made, fractions=[0, 0, 1]).samples("test")) == 40
    assert everything(FracAtlas(made, fractions=(0.5, 0.25, 0.25))).keys() == everything(FracAtlas(made)).keys()
    assert FracAtlas(made, seed=1).samples("test") != FracAtlas(made).samples("test")
    for wrong in ((0.5, 0.5), (0.7, 0.1, 0.3), (1.2, -0.4, 0.2)):
        with pytest.raises(InputError, match="write three that sum to 1"):
            FracAtlas(made, fractions=wrong)


def test_made_fingerprint_follows_image_and_annotation(made: Path) -> None:
    dataset = FracAtlas(made)
    first = {split: dataset.fingerprint(split) for split in SPLITS}
    assert len(set(first.values())) == 3
    inside = next(sample.id for sample in dataset.samples("test") if sample.label == 1)
    image = made / "images" / "Fractured" / inside
    image.write_bytes(image.read_bytes() + b"\0")
    second = {split: FracAtlas(made).fingerprint(split) for split in SPLITS}
    assert [split for split in SPLITS if first[split] != second[split]] == ["test"]
    (made / COCO).write_text((made / COCO).read_text().replace("2.0, 3.0, 8.0", "2.0, 3.0, 9.0"))
    assert FracAtlas(made).fingerprint("test") != second["test"]


def test_made_images_are_known_by_their_files(made: Path) -> None:
    dataset = FracAtlas(made)
    samples = everything(dataset)
    for name in ("IMG0000000.jpg", "IMG0000030.jpg"):
        (path,) = made.glob(f"images/*/{name}")
        assert dataset.image_hash(samples[name]) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_position_is_stable_and_even() -> None:
    assert _groups.position(0, "IMG0000000.jpg") == _groups.position(0, "IMG0000000.jpg")
    places = [_groups.position(0, str(i)) for i in range(2000)]
    assert min(places) >= 0 and max(places) < 1
    assert abs(np.mean(np.array(places) < 0.7) - 0.7) < 0.04


def test_made_truncated_image_is_read(made: Path) -> None:
    path = made / "images" / "Non_fractured" / "IMG0000030.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    dataset = FracAtlas(made)
    assert dataset.read(everything(dataset)["IMG0000030.jpg"]).image.shape == (24, 32)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"IMG0000030.jpg: is not a readable PNG or JPEG image; unpack"):
        dataset.read(everything(dataset)["IMG0000030.jpg"])


def test_wrong_input_is_one_clear_line(made: Path) -> None:
    def fault(dataset: FracAtlas, split: str = "test") -> str:
        with pytest.raises(InputError) as caught:
            dataset.samples(split)
        (line,) = caught.value.faults
        assert "\n" not in line
        return line

    assert fault(FracAtlas(None)).startswith("fracatlas needs --data DIR; `fracbench data fracatlas` downloads it")
    assert "'images/Fractured' is missing; give the folder of" in fault(FracAtlas(made / "gone"))
    assert fault(FracAtlas(made.parent)).endswith(f"Did you mean {made}?")
    assert fault(FracAtlas(made), "valid").startswith("fracatlas has no split 'valid'. Did you mean 'val'?")
    assert "none.json: there is no such file" in fault(FracAtlas(made, groups="none.json"))
    (made / "bad.json").write_text("[]")
    assert "bad.json: is no list of groups" in fault(FracAtlas(made, groups="bad.json"))
    (made / "images/Fractured/IMG0000004.jpg").unlink()
    assert "IMG0000004.jpg: there is no such image; unpack" in fault(FracAtlas(made))
    coco = (made / COCO).read_text()
    (made / COCO).write_text(coco.replace("Fracture", "Other"))
    assert "none of its categories ['Other', 'hardware'] has 'fractur' in its name; rename" in fault(FracAtlas(made))
    (made / COCO).write_text(coco[:50])
    assert "COCO_fracture_masks.json: is no COCO file" in fault(FracAtlas(made))


def test_made_annotation_of_another_size_is_refused(made: Path) -> None:
    (made / COCO).write_text((made / COCO).read_text().replace('"width": 32', '"width": 33'))
    dataset = FracAtlas(made)
    with pytest.raises(InputError, match="image has 32 x 24 pixels and its annotation 33 x 24"):
        dataset.read(everything(dataset)["IMG0000000.jpg"])


def test_an_image_in_both_folders_or_of_another_kind_is_refused(made: Path) -> None:
    fractured = made / "images" / "Fractured" / "IMG0000000.jpg"
    twin = made / "images" / "Non_fractured" / fractured.name
    twin.write_bytes(fractured.read_bytes())
    with pytest.raises(InputError, match=r"Non_fractured/IMG0000000.jpg: there is .*Fractured/IMG0000000.jpg too"):
        FracAtlas(made).samples("test")
    twin.rename(twin.with_suffix(".png"))
    with pytest.raises(InputError, match="jpg images only"):
        FracAtlas(made).samples("test")


def test_groups_must_be_lists_of_names(made: Path) -> None:
    (made / "near-duplicates.json").write_text('{"groups": ["IMG0000000.jpg", "IMG0000001.jpg"]}')
    with pytest.raises(InputError, match="is no list of groups"):
        FracAtlas(made).samples("test")


def picture(seed: int) -> np.ndarray:
    """A smooth one, as radiographs are."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 32), np.uint8))
    return np.asarray(small.resize((320, 240), Image.Resampling.BICUBIC))


def test_nearly_identical_images_are_found_where_no_list_names_them(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "cache"))
    folder = made / "images/Non_fractured"
    changed = {
        "IMG0000030.jpg": picture(1), "IMG0000031.jpg": picture(1) // 2 + 60, "IMG0000032.jpg": picture(2),
        "IMG0000033.jpg": picture(1)[::-1], "IMG0000034.jpg": 255 - picture(1),
    }  # fmt: skip
    for name, pixels in changed.items():
        Image.fromarray(pixels).resize((200 + int(name[9]) * 40, 160)).save(folder / name, quality=60)
    samples = everything(FracAtlas(made))
    assert {name for name in samples if samples[name].group == "IMG0000030.jpg"} == {"IMG0000030.jpg", "IMG0000031.jpg"}
    assert "looking for nearly identical images" in capsys.readouterr().err
    assert everything(FracAtlas(made)) == samples and not capsys.readouterr().err, "looked for once"
    (made / "near-duplicates.json").write_text('{"groups": []}')
    assert everything(FracAtlas(made))["IMG0000031.jpg"].group == "IMG0000031.jpg", "a list decides"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: spoiled(root / "dataset.csv", lambda text: text.replace(",", ";")), "lacks the column image_id"),
        (lambda root: spoiled(root / "dataset.csv", lambda text: text + "IMG0000001.jpg,1,0,0,0,0,0,1,0,0,1,1,0\n"),
         "dataset.csv:41: lists IMG0000001.jpg again"),
        (lambda root: spoiled(root / "dataset.csv", lambda text: text.replace("jpg,1,0", "jpg,yes,0", 1)),
         "dataset.csv:2: hand is 'yes', not 0 or 1"),
        (lambda root: (root / "dataset.csv").unlink() or (root / "dataset.csv").mkdir(), "'dataset.csv' is missing"),
        (lambda root: (root / "images/Fractured").rename(root / "images/gone") and (root / "images/Fractured").touch(),
         "'images/Fractured' is missing"),
        (lambda root: (root / "near-duplicates.json").write_text("[" * 100_000), "is no list of groups"),
        (lambda root: spoiled(root / COCO, lambda text: text.replace("IMG0000001.jpg", "other/IMG0000000.jpg")),
         "lists IMG0000000.jpg in two folders"),
        (lambda root: spoiled(root / COCO, lambda text: text.replace("24.0", "1e300")), "1e+300"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_line(made: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    spoil(made)
    with pytest.raises(InputError) as caught:
        FracAtlas(made).samples("test")
    assert says in caught.value.faults[0] and "\n" not in caught.value.faults[0]


def spoiled(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text()))


def test_flags_may_be_written_as_a_spreadsheet_does(made: Path) -> None:
    before = everything(FracAtlas(made))
    spoiled(made / "dataset.csv", lambda text: text.replace(",1,", ",1.0,").replace(",0,", ",0.0,"))
    assert everything(FracAtlas(made)) == before


def test_thousands_of_faults_are_twenty_lines(made: Path) -> None:
    rows = "".join(f"IMG9{i:06}.jpg,1,0,0,0,0,0,1,0,0,1,1,0\n" for i in range(3000))
    spoiled(made / "dataset.csv", lambda text: text + rows)
    done = CliRunner().invoke(main, ["data", "check", str(made)])
    lines = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 2 and len(lines) == 21 and lines[-1] == "error: and 2980 more"


def test_a_split_that_is_not_there_costs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["data", "fracatlas", "--split", "tst"])
    assert done.exit_code == 2 and "error: fracatlas has no split 'tst'; it has train, val, test" in done.output
    assert not list(tmp_path.iterdir())
