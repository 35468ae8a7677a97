"""A contact sheet: what the images of a dataset look like, split by split, with the annotated fractures outlined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from fracbench.contracts import Dataset, Sample
from fracbench.data import choose, fit

TILE, LINE, COLUMNS = 256, 15, 6
OUTLINE, PAPER = (86, 180, 233), (208, 208, 208)  # some radiographs are framed in white
FACTS = ("subtlety", "site", "marker")
WIDEST = 42  # letters of a caption line


def contact_sheet(dataset: Dataset, splits: Sequence[str], each: int = COLUMNS) -> Image.Image:
    """A row of ``each`` fractured and a row of ``each`` normal images (by their seeded order) for every split."""
    rows = []
    for split in splits:
        samples = dataset.samples(split)
        for label, word in ((1, "fractured"), (0, "normal")):
            there = sum(sample.label == label for sample in samples)
            counts = {1: (min(each, there), 0), 0: (0, min(each, there))}[label]
            rows.append((f"{split}, {word}", choose(samples, *counts, seed=0)))
    step = TILE + 3 * LINE
    sheet = Image.new("RGB", (COLUMNS * TILE, len(rows) * step), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, samples) in enumerate(rows):
        top = number * step
        draw.text((4, top + 2), title, fill="black")
        for column, sample in enumerate(samples):
            sheet.paste(Image.fromarray(_tile(dataset, sample)), (column * TILE, top + LINE))
            for line, text in enumerate(_caption(sample)):
                draw.text((column * TILE + 4, top + LINE + TILE + line * LINE + 2), text, fill="black")
    return sheet


def _tile(dataset: Dataset, sample: Sample) -> NDArray[np.uint8]:
    fitted = fit(dataset.read(sample), TILE)
    tile = np.repeat((fitted.image * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    for instance in fitted.instances:
        tile[instance & ~binary_erosion(instance)] = OUTLINE
    return tile


def _caption(sample: Sample) -> tuple[str, str]:
    """Id and kinds of fracture, then the facts that the dataset gives."""
    known = sample.metadata
    first = " ".join([sample.id[-28:], str(known.get("kinds", ""))])
    facts = [f"{key} {known[key]}" for key in FACTS if key in known]
    facts += ["cast"] if known.get("cast") is True else []
    return first[:WIDEST], ", ".join(facts)[:WIDEST]
