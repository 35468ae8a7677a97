"""The cases that have pictures: how each was answered, and what its explanations hit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from fracbench.robust_scores import whole_attacks
from fracbench.schema import parse_epsilon

from fracbench_leaderboard.reading import read_gallery, read_tables

OUTCOMES = ("missed", "false alarm", "flipped", "survived")
SIZES = ("small", "middle", "large")


def cases_of(row: Mapping[str, Any]) -> pd.DataFrame | None:
    """One line for each image of the gallery, by image; None where tables cannot be read.

    ``label``; ``margin``, clean and ``attacked`` (the lowest under any attack of the reference threat); ``outcome``,
    one of ``OUTCOMES``; ``area``, the share of the picture that is fracture, and its third ``size`` among all annotated
    images; ``hit`` and ``hit_attacked``, the share of the headline's explainers whose peak lies on the fracture.
    """
    tables = read_tables(row, "images", "predictions", "alignment")
    gallery = read_gallery(row)
    if tables is None or gallery.empty:
        return None
    images = tables["images"].set_index("image")
    area = (images.mask_area / images.content).where(images.label == 1)
    thirds = pd.qcut(area.rank(method="first"), 3, labels=list(SIZES)) if area.notna().sum() >= 3 else area.astype(str)
    predictions = tables["predictions"]
    clean = predictions[predictions.attack == "clean"].set_index("image").margin
    attacked = whole_attacks(predictions, row["threat"], parse_epsilon(row["epsilon"]))
    lowest = attacked.sort_values("margin").groupby("image").first()
    broken = ~attacked.groupby("image").correct.all()
    alignment = tables["alignment"][tables["alignment"].explainer.isin(row["panel"])]
    hits = alignment.groupby(["image", "attack"]).hit.mean()
    cases = pd.DataFrame(index=pd.Index(gallery.image.unique(), name="image"))
    cases["label"] = images.label.reindex(cases.index)
    cases["margin"] = clean.reindex(cases.index)
    cases["attacked"] = lowest.margin.reindex(cases.index)
    cases["attack"] = lowest.attack.reindex(cases.index).fillna("")
    wrong, fell = cases.margin <= 0, broken.reindex(cases.index).fillna(False).astype(bool)
    cases["outcome"] = np.select(
        [wrong & (cases.label == 1), wrong, fell], ["missed", "false alarm", "flipped"], "survived"
    )
    cases["area"] = area.reindex(cases.index)
    cases["size"] = thirds.reindex(cases.index).astype(object).fillna("").astype(str)
    pairs = list(zip(cases.index, cases.attack, strict=True))
    cases["hit"] = hits.reindex([(image, "clean") for image in cases.index]).to_numpy()
    cases["hit_attacked"] = hits.reindex(pairs).to_numpy()
    return cases.sort_values("margin", kind="stable")


def disagreements(cases: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Images that all entries show and whose outcome is not the same for all, the widest gap of margins first."""
    common = sorted(set.intersection(*(set(of.index) for of in cases.values())))
    outcomes = pd.DataFrame({name: of.outcome.reindex(common) for name, of in cases.items()})
    margins = pd.DataFrame({name: of.attacked.reindex(common) for name, of in cases.items()})
    label = next(iter(cases.values())).label.reindex(common)
    found = outcomes.assign(label=label, gap=margins.max(axis=1) - margins.min(axis=1))
    return found[outcomes.nunique(axis=1) > 1].sort_values("gap", ascending=False)
