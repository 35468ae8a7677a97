"""Whether a classifier is as good on one kind of radiograph as on another: body parts, hardware, sizes of fractures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from fracbench import stats
from fracbench.robust_scores import balanced
from fracbench.text import one_line

LESION_SIZE = "lesion_size"
THIRDS = 3
MOST_VALUES = 12  # of a fact
MOST_LETTERS = 100


def table(
    images: pd.DataFrame, margin: pd.Series, clean: pd.Series, robust: pd.Series, facts: Sequence[str] | Literal["all"]
) -> list[dict[str, Any]]:
    """Scores by each value of ``facts`` and by lesion size; ``margin`` is the fracture margin, all by image.

    Fractured images of one range of sizes stand against all normal images, since these have none: their balanced
    accuracies differ in sensitivity alone.
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


def split(images: pd.DataFrame, facts: Sequence[str] | Literal["all"]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each fact, a value of it, and its rows of ``images``; then ranges of lesion size, with all normal images.

    The rarer of many values are one, ``other``; of ``all`` facts those with many values, such as numbers, are left out.
    """
    known = [json.loads(text) for text in images.metadata]
    named = list(dict.fromkeys(name for of in known for name in of)) if facts == "all" else facts
    for fact in named:
        values = [_said(of.get(fact)) for of in known]
        common = [value for value, _ in Counter(values).most_common(MOST_VALUES + 1)]
        if len(common) > MOST_VALUES:
            if facts == "all":
                continue
            values = [value if value in common[: MOST_VALUES - 1] else "other" for value in values]
        for value in sorted(set(values)):
            yield _said(fact), value, images[[of == value for of in values]]
    yield from _by_lesion_size(images)


def lesion_share(images: pd.DataFrame) -> pd.Series:
    """Of each annotated fractured image, the share of the picture that is fracture."""
    return (images.mask_area / images.content)[(images.label == 1) & images.annotated].dropna()


def lesion_thirds(images: pd.DataFrame) -> pd.Series:
    """The third, 0 to 2, of each annotated fractured image by that share, cut between unequal sizes.

    Empty where a third would be too few.
    """
    share = lesion_share(images)
    if len(share) < THIRDS * stats.FEW:
        return pd.Series(dtype=int)
    cuts = np.quantile(share, np.arange(1, THIRDS) / THIRDS, method="inverted_cdf")
    return pd.Series(np.searchsorted(np.unique(cuts), share, side="left"), index=share.index)


def _by_lesion_size(images: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    share, third = lesion_share(images), lesion_thirds(images)
    for number in np.unique(third):
        some = share[third.index[third == number]]
        chosen = images.index.isin(some.index) | (images.label == 0)
        yield LESION_SIZE, f"{some.min():.2%} to {some.max():.2%} of the image", images[chosen]


def _said(value: object) -> str:
    """In one line that a board may show: values come from whoever made the dataset."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line("" if value is None else str(value), MOST_LETTERS) or "not stated"
