"""GRAZPEDWRI-DX in the layout of its official archives, made small."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fracbench.contracts import Sample
from fracbench.data import load
from fracbench.data_report import report
from fracbench.errors import InputError
from fracbench.testing import check_dataset
from fracbench_plugins.datasets.grazpedwri import GrazPedWri
from PIL import Image
from test_cli import call

HEADER = ("filestem,patient_id,study_number,timehash,gender,age,laterality,projection,initial_exam,ao_classification,"
          "cast,diagnosis_uncertain,osteopenia,fracture_visible,metal,pixel_spacing,device_manufacturer")  # fmt: skip
LABELS = "folder_structure/yolov5/labels"
PATIENTS, THIRDS = 40, (0.4, 0.3, 0.3)
SIZE = (40, 20)  # height, width


def stem(patient: int, image: int) -> str:
    return f"{patient:04}_{1000000 + image}_01_WRI-{'LR'[image % 2]}{image % 2 + 1}_M010"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 patients with two images: odd ones have a fracture box, patient 4 a visible fracture without a box."""
    made, rng = tmp_path / "graz", np.random.default_rng(0)
    for part in ("images_part1", "images_part2", "images_part3", "images_part4", LABELS):
        (made / part).mkdir(parents=True)
    lines = [HEADER]
    for patient in range(PATIENTS):
        for image in range(2):
            name = stem(patient, image)
            pixels = rng.integers(0, 60_000, SIZE).astype(np.uint16)
            picture = Image.fromarray(pixels if image else (pixels >> 8).astype(np.uint8))
            picture.save(made / f"images_part{patient % 4 + 1}" / f"{name}.png")
            visible = "1" if patient % 2 or patient == 4 else ""
            lines.append(f"{name},{patient},1,77,M,9.5,L,{image + 1},1,23-M/3.1,,,,{visible},,0.144,Siemens")
            boxes = ["8 0.5 0.1 0.2 0.1"]  # text on the image
            boxes += ["3 0.5 0.5 0.4 0.25", "4 0.2 0.8 0.1 0.1"] if patient % 2 else []
            (made / LABELS / f"{name}.txt").write_text("\n".join(boxes) + "\n")
    (made / "dataset.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return made


def everything(dataset: GrazPedWri) -> dict[str, Sample]:
    return {sample.id: sample for split in dataset.splits for sample in dataset.samples(split)}


def fault(root: Path) -> str:
    with pytest.raises(InputError) as refusal:
        everything(GrazPedWri(root))
    (line,) = refusal.value.faults
    return line


def test_it_keeps_the_contract(root: Path) -> None:
    check_dataset(GrazPedWri(root), "train")


def test_labels_boxes_and_facts_are_those_of_the_files(root: Path) -> None:
    dataset = GrazPedWri(root)
    samples = everything(dataset)
    assert len(samples) == 2 * PATIENTS and {s.id for s in samples.values() if s.label} == {
        stem(patient, image) for patient in range(PATIENTS) for image in range(2) if patient % 2 or patient == 4
    }
    assert not samples[stem(4, 0)].annotated and samples[stem(1, 0)].annotated and samples[stem(2, 0)].annotated
    sample = samples[stem(1, 1)]
    facts = {"gender": "M", "age": "9.5", "laterality": "L", "projection": "2", "initial_exam": "1",
             "ao_classification": "23-M/3.1"}  # fmt: skip
    assert dict(sample.metadata) == facts
    radiograph = dataset.read(sample)
    assert radiograph.image.shape == SIZE and radiograph.image.dtype == np.float32 and 0.8 < radiograph.image.max() <= 1
    wanted = np.zeros(SIZE, bool)
    wanted[15:25, 6:14] = True  # centre (10, 20), 8 wide and 10 high
    assert radiograph.instances.shape == (1, *SIZE) and (radiograph.instances[0] == wanted).all()
    assert dataset.read(samples[stem(2, 1)]).instances.shape == (0, *SIZE)


def test_a_patient_lies_in_one_split(root: Path) -> None:
    dataset = GrazPedWri(root, fractions=THIRDS)
    splits = [{sample.group for sample in dataset.samples(split)} for split in dataset.splits]
    assert [bool(of) for of in splits] == [True] * 3
    assert sum(map(len, splits)) == len(set().union(*splits)) == PATIENTS
    other = GrazPedWri(root, fractions=THIRDS, seed=1)
    assert {s.id for s in other.samples("test")} != {s.id for s in dataset.samples("test")}


def test_parts_that_are_not_unpacked_are_left_out(root: Path) -> None:
    shutil.rmtree(root / "images_part4")
    assert len(everything(GrazPedWri(root))) == 60


def test_labels_may_lie_higher_up(root: Path) -> None:
    before = everything(GrazPedWri(root))
    (root / LABELS).rename(root / "labels")
    assert everything(GrazPedWri(root)) == before


def test_bytes_and_boxes_are_in_the_fingerprint(root: Path) -> None:
    before = GrazPedWri(root).fingerprint("train")
    assert before == GrazPedWri(root).fingerprint("train")
    sample = GrazPedWri(root).samples("train")[0]
    label = root / LABELS / f"{sample.id}.txt"
    label.write_text(label.read_text() + "3 0.5 0.5 0.1 0.1\n")
    assert GrazPedWri(root).fingerprint("train") != before


def test_it_fits_into_a_batch_and_a_report(root: Path) -> None:
    dataset = GrazPedWri(root, fractions=THIRDS)
    batch = load(dataset, dataset.samples("val"), 64)
    assert batch.images.shape[1:] == (1, 64, 64) and batch.masks.flatten(1).any(1).sum() > 0
    found = report(dataset, lambda *_: None)
    assert sum(of.annotated for of in found.splits) == PATIENTS and found.findings == {}
    assert call("data", "check", root).exit_code == 0


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda root: (root / "dataset.csv").unlink(), "'dataset.csv' is missing; give the folder with dataset.csv"),
        (lambda root: shutil.rmtree(root / "images_part1"), "'images_part1' is missing"),
        (lambda root: shutil.rmtree(root / LABELS), f"has no YOLO labels; unpack them to {LABELS}"),
        (lambda root: (root / "dataset.csv").write_text("filestem,patient_id\na,1"), "lacks the column fracture_vis"),
        (lambda root: (root / "dataset.csv").write_bytes(b"\xff\xfe\x00"), "is not CSV in UTF-8"),
        (lambda root: Image.new("L", (4, 4)).save(root / "images_part2" / "stray.png"), "stray.png: is not in data"),
        (lambda root: shutil.copy(root / "images_part1" / f"{stem(0, 0)}.png", root / "images_part2"), "there is "),
        (lambda root: (root / LABELS / f"{stem(1, 0)}.txt").write_text("3 0.5 0.5\n"), ".txt:1: is not 'class x y w"),
        (lambda root: (root / LABELS / f"{stem(1, 0)}.txt").write_text("\n3 .5 .5 2 .1"), ".txt:2: is no box within"),
        (lambda root: (root / "dataset.csv").unlink() or (root / "dataset.csv").mkdir(), "dataset.csv: cannot be read"),
        (lambda root: (root / "dataset.csv").write_text("filestem,patient_id,fracture_visible\na,1,True"),
         "dataset.csv:2: fracture_visible is 'True', not 0 or 1"),
        (lambda root: (root / "dataset.csv").write_text("filestem,patient_id,fracture_visible\na,1,1\na,2,1"),
         "dataset.csv:3: lists a again"),
        (lambda root: (root / "dataset.csv").write_text("filestem,patient_id,fracture_visible\na"),
         "a has no patient_id"),
        (lambda root: (root / LABELS / f"{stem(1, 0)}.txt").write_bytes(b"\xff\xfe"), "is no text in UTF-8"),
        (lambda root: (root / LABELS / f"{stem(1, 0)}.txt").write_text("3 nan .5 .2 .1"), ".txt:1: is no box within"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(root: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    spoil(root)
    assert says in fault(root)


def test_wrong_use_is_told() -> None:
    with pytest.raises(InputError, match="grazpedwri needs --data DIR"):
        GrazPedWri(None).samples("train")
    with pytest.raises(InputError, match=r"no split 'tset'\. Did you mean 'test'"):
        GrazPedWri(Path()).samples("tset")
    with pytest.raises(InputError, match="write three that sum to 1"):
        GrazPedWri(Path(), fractions=[1.0])
