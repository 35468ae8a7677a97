"""Fracture outlines from a COCO file in a folder: polygons, run lengths, boxes, and one line for what is neither."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fracbench.errors import InputError
from fracbench_plugins.datasets import _coco
from fracbench_plugins.datasets._coco import Outline, _from_text, matched
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


def test_texts_of_run_lengths_are_read_as_pycocotools_reads_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 90, 2)
        drawn = np.asfortranarray((rng.random((height, width)) < rng.random()).astype(np.uint8))
        runs = _from_text(coco_mask.encode(drawn)["counts"].decode())
        np.testing.assert_array_equal(Outline(runs=tuple(runs)).mask((height, width)), drawn.astype(bool))


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


@pytest.mark.parametrize(
    ("listed", "rows", "fractures"),
    [
        ({"1.png": 1, "sub/1.png": 0}, {"1.png": 1, "sub/1.png": 0}, [1, 0]),
        ({"1.png": 1}, {"1.png": 1, "sub/1.png": 0}, [1, 0]),
        ({"train\\1.png": 1, "val\\1.png": 0}, {"train/1.png": 1, "val/1.png": 0}, [1, 0]),
        ({"./1.png": 1}, {"1.png": 1}, [1]),
        ({"1.png": 1, "sub/1.png": 0}, {"sub/1.png": 1}, "has no outline of a fracture of 'sub/1.png'"),
        ({"train/1.png": 1, "val/1.png": 0}, {"1.png": 1}, "'1.png' could be train/1.png or val/1.png there; write"),
        ({"1.png": 1}, {"one/1.png": 1, "two/1.png": 1}, "'1.png' could be one/1.png or two/1.png; write paths"),
    ],
)  # fmt: skip
def test_an_image_never_takes_the_fracture_of_another(
    tmp_path: Path, listed: dict[str, int], rows: dict[str, int], fractures: list[int] | str
) -> None:
    content = {
        "categories": [{"id": 3, "name": "fracture"}],
        "images": [{"id": i, "file_name": n, "height": SIZE[0], "width": SIZE[1]} for i, n in enumerate(listed)],
        "annotations": [{"image_id": i, "category_id": 3, **POLYGON} for i, of in enumerate(listed.values()) if of],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    lines = ["image,label,mask,group,split"]
    for name, label in rows.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE[::-1]).save(tmp_path / name)
        lines.append(f"{name},{label},coco.json,{name},test")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    dataset = Folder(tmp_path)
    if isinstance(fractures, str):
        with pytest.raises(InputError, match=re.escape(fractures)) as caught:
            dataset.samples("test")
        assert len(caught.value.faults) == 1
    else:
        assert [len(dataset.read(sample).instances) for sample in dataset.samples("test")] == fractures


def test_many_images_of_one_name_are_matched_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path is taken apart a few times, however many share its name."""
    taken_apart = []
    monkeypatch.setattr(_coco, "_parts", lambda name: taken_apart.append(name) or tuple(name.split("/")))
    names = [f"patient{i}/study1/image1.png" for i in range(2000)]
    listed = [{"id": i, "file_name": f"data/{name}", "height": 9, "width": 9} for i, name in enumerate(names)]
    content = {"categories": [{"id": 3, "name": "fracture"}], "annotations": [], "images": listed}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    assert len(matched(tmp_path / "coco.json", tmp_path, names)) == 2000
    assert len(taken_apart) <= 2 * len(names)


def test_a_normal_image_need_not_be_listed(tmp_path: Path) -> None:
    dataset = folder(tmp_path, label=0)
    assert masks(dataset).shape == (0, *SIZE)


def test_the_fingerprint_knows_the_outlines(tmp_path: Path) -> None:
    first = folder(tmp_path, POLYGON).fingerprint("test")
    assert folder(tmp_path, POLYGON).fingerprint("test") == first
    assert folder(tmp_path, {"segmentation": [[*SQUARE[:-1], 7]]}).fingerprint("test") != first


def images(**changes: Any) -> dict[str, Any]:
    return {"images": [{"id": 7, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]} | changes]}


RUNS = {"size": list(SIZE), "counts": [0, 60, 540]}
WRONG: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "unlisted": ([POLYGON], {"name": "b.png"}, "does not list 'a.png'; add it there, or clear the cell and"),
    "no annotation": ([], {}, "has no outline of a fracture of 'a.png'; add one, or clear"),
    "two corners": ([{"segmentation": [[1, 2, 3, 4]]}], {}, "has no outline of a fracture of 'a.png'; add one"),
    "label": ([POLYGON], {"label": 0}, "label is 0 and there is a fracture of 'a.png'; write label 1 or clear"),
    "turned": (
        [POLYGON], images(height=30, width=20),
        "says that 'a.png' has 20 x 30 pixels, and upright it has 30 x 20 pixels; correct width and height there",
    ),
    "outside": ([POLYGON, {"segmentation": [[90, 90, 95, 90, 95, 95]]}], {}, "has no pixel within the image; correct"),
    "categories": ([POLYGON], {"categories": [{"id": 3, "name": "metal"}]}, "none of its categories ['metal'] has"),
    "no fracture": ([POLYGON], {"categories": [{"id": 3, "name": "No_Fracture"}]}, "none of its categories"),
    "a category of another type": ([POLYGON | {"category_id": "3"}], {}, "has category_id '3', which is not listed"),
    "no such image": ([POLYGON | {"image_id": 8}], {}, "annotation 0 has image_id 8, which is not listed"),
    "twice": ([POLYGON], {"images": images()["images"] * 2}, "image 'a.png' (id 7) is listed twice"),
    "huge": ([POLYGON], images(height=10**6, width=10**6), "says that it has 1000000 x 1000000 pixels"),
    "endless": ([POLYGON], images(height=float("inf")), "inf where a number is needed"),
    "nameless": ([POLYGON], images(file_name=3), "the file_name of image 7 is no text"),
    "runs of another size": ([{"segmentation": RUNS | {"size": [9, 9]}}], {}, "run lengths of size [9, 9]"),
    "short runs": ([{"segmentation": RUNS | {"counts": [10, 5]}}], {}, "run lengths are not those of 20 x 30 pixels"),
    "negative runs": ([{"segmentation": RUNS | {"counts": [-1, 601]}}], {}, "run lengths are not those of 20 x 30"),
    "vast runs": ([{"segmentation": RUNS | {"counts": [0, 2**32 - 1] * 2000}}], {}, "run lengths are not those of"),
    "runs of nonsense": ([{"segmentation": RUNS | {"counts": "\U0001f600a"}}], {}, "run lengths are not those of"),
    "words": ([{"segmentation": [["a"] * 6]}], {}, "annotation 0: 'a' where a number is needed"),
    "odd": ([{"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}], {}, "a polygon has an odd number of coordinates"),
    "flat box": ([{"bbox": [1, 2, 0, 3]}], {}, "annotation 0: its box has 0 x 3 pixels"),
    "no coco": ([], {"images": None}, "is no COCO file of fracture outlines"),
    "keyless": ([{"segmentation": [SQUARE]}], {"categories": [{"id": 3}]}, "has no 'name'; write it again"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, case: str) -> None:
    annotations, changes, said = WRONG[case]
    with pytest.raises(InputError, match=r"coco\.json") as caught:
        folder(tmp_path, *annotations, **changes).samples("test")
    (line,) = caught.value.faults
    assert said in line


@pytest.mark.parametrize("content", ["", "[" * 200_000, "[]", '{"categories": 3}'])
def test_what_is_no_coco_file_is_one_line(tmp_path: Path, content: str) -> None:
    dataset = folder(tmp_path, POLYGON)
    (tmp_path / "coco.json").write_text(content)
    with pytest.raises(InputError, match=r"coco\.json: is no COCO file of fracture outlines") as caught:
        dataset.samples("test")
    assert len(caught.value.faults) == 1
    (tmp_path / "coco.json").unlink()
    with pytest.raises(InputError, match=r"coco\.json: cannot be read \(No such file"):
        Folder(tmp_path).samples("test")


def test_mutated_files_are_read_or_refused_in_lines(tmp_path: Path) -> None:
    """Every value of a file in turn by something else: nothing but ``InputError`` comes out."""
    folder(tmp_path, POLYGON, {"segmentation": RUNS}, {"bbox": [4, 5, 3, 2]})
    whole = json.loads((tmp_path / "coco.json").read_text())
    refused = read = 0
    for place in places(whole):
        for value in (None, "x", -1, 10**400, float("nan"), [], {}, True, 1.5, [[1]], "3"):
            changed = copy.deepcopy(whole)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            (tmp_path / "coco.json").write_text(json.dumps(changed))
            dataset = Folder(tmp_path)
            try:
                found = dataset.read(dataset.samples("test")[0]).instances
                assert found.dtype == bool and found.shape[1:] == SIZE
                read += 1
            except InputError:
                refused += 1
    assert refused > 300 and read > 50


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [above] * bool(above) + [place for key, of in inner for place in places(of, (*above, key))]
