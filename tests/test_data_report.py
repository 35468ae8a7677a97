"""What ``fracbench data check`` says of a made tree with every fault, and of the real files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from fracbench.data_report import report
from fracbench_plugins.datasets.folder import Folder
from fracbench_plugins.datasets.fracatlas import FracAtlas
from PIL import Image
from test_cli import call, refused
from test_end_to_end import radiographs
from test_fracatlas import COCO, REAL, made  # noqa: F401


def findings(dataset: FracAtlas) -> dict[str, list[str]]:
    return {fault: list(names) for fault, names in report(dataset, lambda *_: None).findings.items()}


def spoil(root: Path) -> None:
    """One fault of each kind, on files of their own."""
    normal, broken = root / "images" / "Non_fractured", root / "images" / "Fractured"
    Image.open(normal / "IMG0000021.jpg").convert("L").save(normal / "IMG0000021.jpg")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(normal / "IMG0000022.jpg").save(normal / "IMG0000022.jpg", exif=exif)
    whole = (normal / "IMG0000023.jpg").read_bytes()
    (normal / "IMG0000023.jpg").write_bytes(whole[:-200])
    (normal / "IMG0000026.jpg").write_bytes(whole[:100])
    shutil.copy(broken / "IMG0000000.jpg", broken / "IMG0000001.jpg")
    shutil.copy(broken / "IMG0000002.jpg", normal / "IMG0000024.jpg")
    coco = json.loads((root / COCO).read_text())
    coco["annotations"][4]["segmentation"] = [[2.0, 3.0, 80.0, 3.0, 8.0, 9.0]]
    coco["annotations"][5]["segmentation"] = []
    (root / COCO).write_text(json.dumps(coco))
    lines = (root / "dataset.csv").read_text().splitlines()
    lines[26] = "IMG0000025.jpg,1,0,0,0,0,0,1,1,1,1,1,0"  # fractured, and nothing else says so
    (root / "dataset.csv").write_text("\n".join(lines))
    (root / "Utilities" / "Fracture Split").mkdir(parents=True)
    for split, name in (("train", "IMG0000000.jpg"), ("test", "IMG0000001.jpg")):
        (root / "Utilities" / "Fracture Split" / f"{split}.csv").write_text(f"image_id\r\n{name}\r\n")
    (root / "near-duplicates.json").write_text('{"groups": [["IMG0000030.jpg", "IMG0000031.jpg", "elsewhere.jpg"]]}')


def test_each_fault_has_the_names_of_its_files(made: Path) -> None:
    before = findings(FracAtlas(made))
    assert set(before) == {
        "stored in colour: luminance is read", "in Fractured/ without an annotation: fractured, not annotated",
        "not in dataset.csv", "not fractured by dataset.csv, fractured by folder or polygon: fractured",
        "fracture_count of dataset.csv is not the number of polygons",
    }  # fmt: skip
    assert before["in Fractured/ without an annotation: fractured, not annotated"] == ["IMG0000019.jpg"]
    assert before["not in dataset.csv"] == ["IMG0000039.jpg"]
    spoil(made)
    found = findings(FracAtlas(made))
    for fault, names in {
        "EXIF orientation: annotations are in the upright frame": ["IMG0000022.jpg"],
        "JPEG ends early: the rest is grey": ["IMG0000023.jpg"],
        "byte-identical images": ["IMG0000000.jpg = IMG0000001.jpg", "IMG0000002.jpg = IMG0000024.jpg"],
        "byte-identical images with opposite labels": ["IMG0000002.jpg = IMG0000024.jpg"],
        "byte-identical images in different official splits": ["IMG0000000.jpg = IMG0000001.jpg"],
        "near-identical images": ["IMG0000030.jpg = IMG0000031.jpg"],
        "polygon beyond the edge of the image": ["IMG0000004.jpg"],
        "annotation without a polygon": ["IMG0000005.jpg"],
        "images that cannot be read": [
            f"{made}/images/Non_fractured/IMG0000026.jpg: is not a readable PNG or JPEG image; unpack the archive again"
        ],
        "fractured by dataset.csv, normal by folder and without a polygon: normal": ["IMG0000025.jpg"],
    }.items():
        assert found[fault] == names, fault
    assert "IMG0000021.jpg" not in found["stored in colour: luminance is read"]


def test_counts_and_sizes_are_those_of_the_polygons(made: Path) -> None:
    found = report(FracAtlas(made), lambda *_: None)
    assert sum(of.images for of in found.splits) == 40 and sum(of.fractured for of in found.splits) == 20
    assert sum(of.annotated for of in found.splits) == 19 and sum(of.instances for of in found.splits) == 19
    smallest, *_, largest = found.lesions["share of the image"]
    square, triangle = 49 / (24 * 32), 45 / (24 * 32)  # edges included
    assert largest == smallest == pytest.approx(square + triangle, rel=0.1)
    assert found.lesions["longer side, pixels"][0] == 27
    assert found.facts["body_part"]["hand"] == 39


def test_any_dataset_has_a_report(tmp_path: Path) -> None:
    root = radiographs(tmp_path / "data")
    lines = (root / "manifest.csv").read_text().splitlines()
    shutil.copy(root / "image0.png", root / "again.png")
    (root / "manifest.csv").write_text("\n".join([*lines, "again.png,0,,patient1,train,north"]))
    found = report(Folder(root), lambda *_: None)
    assert [(of.split, of.images, of.fractured) for of in found.splits] == [("test", 4, 2), ("train", 1, 0)]
    assert found.findings == {
        "the same image in several splits": ["image0.png = again.png"], "groups in several splits": ["patient1"],
    }  # fmt: skip


def test_the_command_knows_the_dataset_by_its_layout_and_names_every_file(made: Path, tmp_path: Path) -> None:
    spoil(made)
    done = call("data", "check", made, "--out", tmp_path / "faults.csv")
    assert done.exit_code == 0, done.output
    assert "1 x JPEG ends early: the rest is grey: IMG0000023.jpg" in done.output
    rows = list(csv.reader((tmp_path / "faults.csv").open(newline="")))
    assert rows[0] == ["fault", "files"] and ["JPEG ends early: the rest is grey", "IMG0000023.jpg"] in rows
    refused(call("data", "check", tmp_path / "nowhere"), "nowhere: no such folder")
    refused(call("data", "check", tmp_path), "has the layout of no dataset", "folder: manifest.csv", "--kind")
    refused(call("data", "check", made, "--out", tmp_path / "faults.txt"), "name a .csv file")
    refused(call("data", "check", made, "--kind", "fracatlass"), "Did you mean 'fracatlas'?")
    coco = json.loads((made / COCO).read_text())
    coco["images"][3] |= {"width": 31}
    (made / COCO).write_text(json.dumps(coco))
    assert "image has 32 x 24 pixels and its annotation 31 x 24" in call("data", "check", made).output


@pytest.mark.slow
@pytest.mark.fracatlas
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real FracAtlas files are not at {REAL}")
def test_the_real_files_have_the_faults_they_are_known_for() -> None:
    counts = {fault: len(names) for fault, names in findings(FracAtlas(REAL)).items()}
    assert counts["EXIF orientation: annotations are in the upright frame"] == 25
    assert counts["JPEG ends early: the rest is grey"] == 59
    assert counts["near-identical images with opposite labels"] == 4
    assert counts["near-identical images in different official splits"] == 14
    assert counts["not fractured by dataset.csv, fractured by folder or polygon: fractured"] == 1
