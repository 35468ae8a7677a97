"""Whether a classifier is as good on one kind of radiograph as on another: body parts, hardware, sizes of fractures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench import stats
from fracbench.robust_scores import balanced

LESION_SIZE = "lesion_size"
THIRDS = ("smallest third", "middle third", "largest third")


def table(
    images: pd.DataFrame, margin: pd.Series, clean: pd.Series, robust: pd.Series, facts: Sequence[str]
) -> list[dict[str, Any]]:
    """Scores by each value of ``facts`` and by lesion size; ``margin`` is the fracture margin, all by image.

    A third of the annotated fractured images by size of the fracture stands against all normal images, since these have
    none: its balanced accuracies differ in sensitivity alone.
    """
    return [
        {
            "fact": fact,
            "value": value,
            "fractured": int((of.label == 1).sum()),
            "normal": int((of.label == 0).sum()),
            "clean": balanced(clean[of.index].astype(float), of)["balanced_accuracy"],
            "auroc": stats.auroc_interval(margin[of.index], of.label, of.group),
            "robust": balanced(robust[of.index].astype(float), of)["balanced_accuracy"],
        }
        for fact, value, of in split(images, facts)
    ]


def split(images: pd.DataFrame, facts: Sequence[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each fact, a value of it, and its rows of ``images``; then the thirds by lesion size, with all normal images."""
    known = [json.loads(text) for text in images.metadata]
    for fact in facts:
        values = np.array([_said(of.get(fact)) for of in known])
        for value in sorted(set(values)):
            yield fact, value, images[values == value]
    share = (images.mask_area / images.content)[(images.label == 1) & images.annotated].sort_values(kind="stable")
    if len(share) < len(THIRDS):
        return
    for name, of in zip(THIRDS, np.array_split(np.arange(len(share)), len(THIRDS)), strict=True):
        some = share.iloc[of]
        chosen = images.index.isin(some.index) | (images.label == 0)
        yield LESION_SIZE, f"{name}, {some.min():.2%} to {some.max():.2%} of the image", images[chosen]


def _said(value: object) -> str:
    if value is None or value == "":
        return "not stated"
    return {"True": "yes", "False": "no"}.get(str(value), str(value))
