"""From the command line to the board on radiographs that are not the phantom's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from browser import cells, opened, require_chromium, served, settle
from conftest import STARTERS, Command
from fracbench import specs
from fracbench.resolving import resolve
from fracbench.store import ResultFolder
from PIL import Image
from test_cli import TINY, submissions
from test_fracatlas import REAL

STARTER = "phantom-resnet-pgd-at"


@pytest.mark.slow
@pytest.mark.fracatlas
@pytest.mark.browser
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real FracAtlas files are not at {REAL}")
def test_starters_on_real_radiographs_reach_the_page(command: Command) -> None:
    done = command("run", STARTER, "--benchmark", "fracatlas-v1", "--data", REAL, "--limit", "2", "--budget", "0.02",
                   "--submissions", STARTERS, "--results", "results")  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = ResultFolder(command.folder / "results" / STARTER / "fracatlas-v1-custom", STARTER, "fracatlas-v1-custom")
    summary = folder.summary()
    assert summary is not None and summary["unranked_because"] == ["custom run"]
    assert summary["n"]["fractured"] == summary["n"]["normal"] == 1 and summary["n"]["annotated"] == 1
    assert summary["trained_on"] == "phantom" and summary["dataset"] == "fracatlas"
    images = folder.table("images")
    assert (images[images.label == 1].mask_area > 0).all() and (images[images.label == 0].mask_area == 0).all()
    assert (images.content < 224 * 224).any(), "radiographs are padded to a square"
    require_chromium()
    with served(command.start, "--submissions", ".", "--results", "results") as address, opened(address) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        text = page.inner_text("body")
        assert "badge 'not trained on such images'" in text and "Abedeen et al. 2023" in text and "CC BY 4.0" in text
        assert "custom run" in cells(page, 1)


def radiographs(folder: Path) -> Path:
    """Two fractured and two normal pictures of 16 and 8 bits, wider than high, with masks and a manifest."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = ["image,label,mask,group,split,site"]
    for i in range(4):
        pixels = rng.integers(0, 40_000, (60, 90)).astype(np.uint16)
        if i % 2:
            mask = np.zeros((60, 90), np.uint8)
            mask[20:32, 30:50] = 255
            pixels[mask > 0] = 60_000
            Image.fromarray(mask).save(folder / f"mask{i}.png")
        Image.fromarray(pixels if i < 2 else (pixels >> 8).astype(np.uint8)).save(folder / f"image{i}.png")
        lines.append(f"image{i}.png,{i % 2},{f'mask{i}.png' if i % 2 else ''},patient{i},test,north")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_a_folder_of_ones_own(tmp_path: Path, command: Command) -> None:
    data = radiographs(tmp_path / "data")
    submissions(tmp_path, TINY)
    arguments = ("run", "tiny", "--benchmark", "folder-v1", "--data", "data", "--limit", "4", "--budget", "0.05")
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    folder = ResultFolder(
        tmp_path / "submissions" / "tiny" / "results" / "folder-v1-custom", "tiny", "folder-v1-custom"
    )
    images = folder.table("images").set_index("image")
    assert json.loads(images.metadata["image0.png"]) == {"site": "north"}
    share = images.mask_area["image1.png"] / images.content["image1.png"]
    assert share == pytest.approx(12 * 20 / (60 * 90), rel=0.05)

    broken = data / "image3.png"
    broken.write_bytes(broken.read_bytes()[:400])
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    refused = command(*arguments)
    assert refused.returncode == 2 and "manifest.csv:5: image3.png: cannot be read" in refused.stderr, refused.stderr
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    Image.fromarray(np.zeros((60, 90), np.uint8)).save(broken)
    changed = resolve(specs.load("folder-v1"), data=str(data)).fingerprint
    assert changed != folder.summary()["fingerprint"]  # type: ignore[index]
