"""What the study knows of one evaluated model: its row, and the raw scores of its maps image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fracbench.board import tolerant, whole
from fracbench.store import ResultFolder

CLEAN = "clean"
NO_THREAT = ("none", "no", "-", "–", "null")


@dataclass(frozen=True)
class Studied:
    """``row`` is the model's summary, ``images`` and ``maps`` its tables of images (by id) and of alignment.

    ``network`` is the model plugin with its parameters, ``plan`` what its benchmark had registered when it ran.
    """

    row: Mapping[str, Any]
    network: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    images: pd.DataFrame
    maps: pd.DataFrame
    # scores by image and explainer, by attack and metric: they are asked for many times
    _tables: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return str(self.row["submission"])

    @property
    def training(self) -> Mapping[str, Any]:
        return dict(self.row["training"])

    @property
    def threat(self) -> str | None:
        """The threat model it was trained against, such as ``linf 0.5/255``; None where none is stated."""
        stated = self.training["threat"]
        return None if not stated or stated.casefold() in NO_THREAT else " ".join(stated.split())

    def raw(self, explainers: Sequence[str], metric: str, attack: str = CLEAN) -> pd.Series:
        """By annotated fractured image, the mean raw score of these explainers' maps; NaN where one is missing."""
        if (attack, metric) not in self._tables:
            mine = self.maps[self.maps.attack == attack].pivot(index="image", columns="explainer", values=metric)
            annotated = self.images.index[(self.images.label == 1) & self.images.annotated]
            self._tables[attack, metric] = mine.reindex(index=annotated)
        by_explainer = self._tables[attack, metric].reindex(columns=list(explainers))
        return by_explainer.mean(axis=1, skipna=False).astype(float)


def read(rows: Sequence[Mapping[str, Any]], broken: list[str]) -> list[Studied]:
    """The models of these rows; a line in ``broken`` for each whose files cannot be read."""
    found = []
    for row in rows:
        path = Path(row["path"])
        folder = ResultFolder(path, row["submission"], path.name)
        one = tolerant(folder, lambda folder=folder, row=row: _read(folder, row), broken)  # type: ignore[misc]
        found += [one] if one is not None else []
    return found


def _read(folder: ResultFolder, row: Mapping[str, Any]) -> Studied:
    run = folder.run() or {}
    images, maps = folder.table("images").set_index("image"), folder.table("alignment")
    if not images.index.is_unique or maps.duplicated(["image", "attack", "explainer"]).any():
        raise ValueError("an image or a map is there twice")
    images[["label", "annotated", "group", "mask_area", "content"]], maps[list(run["metrics"])]  # or a LookupError
    return Studied(whole(row), run["model"], run["resolved_spec"].get("study"), images, maps)


def number(score: Any) -> float:
    """The value of a score of a summary, which is None where it is undefined."""
    value = score.get("value") if isinstance(score, Mapping) else score
    return np.nan if value is None else float(value)
