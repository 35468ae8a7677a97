"""Fracture outlines from a COCO file in a folder: polygons, run lengths, boxes, and one line for what is neither."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fracbench.errors import InputError
from fracbench_plugins.datasets.folder import Folder
from PIL import Image
from pycocotools import mask as coco_mask

SIZE = (20, 30)
SQUARE = [2, 3, 6, 3, 6, 8, 2, 8]  # edges included: 5 x 6 pixels
POLYGON = {"segmentation": [SQUARE]}


def folder(root: Path, *annotations: dict[str, Any], name: str = "a.png", label: int = 1, **changes: Any) -> Folder:
    """One image a.png, and a COCO file in which it is called ``name``."""
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(root / "a.png")
    listed = [{"image_id": 7, "category_id": 3, "id": i, **of} for i, of in enumerate(annotations)]
    content = {
        "categories": [{"id": 1, "name": "metal"}, {"id": 3, "name": "Wrist fracture"}],
        "images": [{"id": 7, "file_name": name, "height": SIZE[0], "width": SIZE[1]}],
        "annotations": listed,
    } | changes  # fmt: skip
    (root / "coco.json").write_text(json.dumps(content))
    (root / "manifest.csv").write_text(f"image,label,mask,group,split\na.png,{label},coco.json,p,test\n")
    return Folder(root)


def masks(dataset: Folder) -> np.ndarray[Any, Any]:
    return dataset.read(dataset.samples("test")[0]).instances


def test_an_annotation_is_one_fracture_of_one_or_more_polygons(tmp_path: Path) -> None:
    two = {"segmentation": [SQUARE, [20, 10, 22, 10, 22, 12, 20, 12]]}
    found = masks(folder(tmp_path, POLYGON, two))
    assert found.dtype == bool and found.shape == (2, *SIZE)
    assert found.sum((1, 2)).tolist() == [30, 39]
    assert found[0, 3:9, 2:7].all()


def test_other_categories_are_left_out(tmp_path: Path) -> None:
    assert len(masks(folder(tmp_path, POLYGON, {"segmentation": [SQUARE], "category_id": 1}))) == 1


@pytest.mark.parametrize("packed", [True, False], ids=["compressed", "plain"])
def test_run_lengths_are_what_pycocotools_wrote(tmp_path: Path, packed: bool) -> None:
    drawn = np.zeros(SIZE, np.uint8, order="F")
    drawn[4:9, 11:14] = drawn[0, 0] = 1
    coded = coco_mask.encode(drawn)
    counts: Any = coded["counts"].decode()
    if not packed:
        flat = drawn.flatten(order="F")
        places = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
        counts = np.diff(np.concatenate([[0], places, [flat.size]])).tolist()
    found = masks(folder(tmp_path, {"segmentation": {"size": list(SIZE), "counts": counts}}))
    np.testing.assert_array_equal(found[0], drawn.astype(bool))


def test_an_annotation_without_outline_is_its_box(tmp_path: Path) -> None:
    found = masks(folder(tmp_path, {"segmentation": [], "bbox": [4, 5, 3, 2]}, {"bbox": [0, 0, 1, 1]}))
    assert found.sum((1, 2)).tolist() == [6, 1] and found[0, 5:7, 4:7].all() and found[1, 0, 0]


@pytest.mark.parametrize("name", ["a.png", "images/train/a.png"])
def test_an_image_is_found_by_its_path_or_its_name(tmp_path: Path, name: str) -> None:
    assert len(masks(folder(tmp_path, POLYGON, name=name))) == 1


def test_paths_may_be_those_beside_the_coco_file(tmp_path: Path) -> None:
    folder(tmp_path, POLYGON, name="../scans/one/a.png")
    for name in ("scans/one", "scans/two", "notes"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("one", "two"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / f"scans/{name}/a.png")
    (tmp_path / "coco.json").rename(tmp_path / "notes/coco.json")
    rows = ["image,label,mask,group,split"]
    rows += ["scans/one/a.png,1,notes/coco.json,p,test", "scans/two/a.png,0,notes/coco.json,q,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    dataset = Folder(tmp_path)
    first, second = dataset.samples("test")
    assert len(dataset.read(first).instances) == 1 and len(dataset.read(second).instances) == 0


def test_a_name_that_could_be_two_images_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, POLYGON)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("L", SIZE[::-1]).save(tmp_path / name / "a.png")
    rows = ["image,label,mask,group,split", "one/a.png,1,coco.json,p,test", "two/a.png,1,coco.json,q,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match=r"'a\.png' could be one/a.png or two/a.png; write") as caught:
        Folder(tmp_path).samples("test")
    assert len(caught.value.faults) == 1


def test_a_normal_image_need_not_be_listed(tmp_path: Path) -> None:
    dataset = folder(tmp_path, label=0)
    assert masks(dataset).shape == (0, *SIZE)


def test_the_fingerprint_knows_the_outlines(tmp_path: Path) -> None:
    first = folder(tmp_path, POLYGON).fingerprint("test")
    assert folder(tmp_path, POLYGON).fingerprint("test") == first
    assert folder(tmp_path, {"segmentation": [[*SQUARE[:-1], 7]]}).fingerprint("test") != first


WRONG = {
    "unlisted": (([POLYGON], {"name": "b.png"}), "has no annotation of a fracture for 'a.png'; add one, or write"),
    "nothing drawn": (([{"segmentation": [[1, 2]]}], {}), "label is 1 and the mask is empty"),
    "label": (([POLYGON], {"label": 0}), "label is 0 and the mask is not empty"),
    "categories": (([POLYGON], {"categories": [{"id": 3, "name": "metal"}]}), "no fracture among its categories"),
    "size": (
        ([POLYGON], {"images": [{"id": 7, "file_name": "a.png", "height": 30, "width": 20}]}),
        "mask has 20 x 30 pixels and the image 30 x 20",
    ),
    "runs": (([{"segmentation": {"size": [9, 9], "counts": [81]}}], {}), "run lengths of size"),
    "no coco": (([], {"images": None}), "is no COCO file of fracture outlines"),
    "list": (([{"segmentation": [["a"] * 6]}], {}), "is no COCO file of fracture outlines"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, case: str) -> None:
    (annotations, changes), said = WRONG[case]
    with pytest.raises(InputError, match=r"coco\.json") as caught:
        folder(tmp_path, *annotations, **changes).samples("test")
    (line,) = caught.value.faults
    assert said in line


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    dataset = folder(tmp_path, POLYGON)
    (tmp_path / "coco.json").unlink()
    with pytest.raises(InputError, match=r"coco.json: cannot be read .*"):
        dataset.samples("test")


def test_without_pycocotools_only_run_lengths_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert len(masks(folder(tmp_path, POLYGON))) == 1
    with pytest.raises(InputError, match=r"need pycocotools.*pip install 'fracbench\[coco\]'"):
        folder(tmp_path, {"segmentation": {"size": list(SIZE), "counts": [600]}}).samples("test")
