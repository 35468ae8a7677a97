"""The cases that have pictures: how each was answered, and what its explanations hit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from fracbench.kept_rows import state_of
from fracbench.robust_scores import whole_attacks
from fracbench.schema import parse_epsilon
from fracbench.subgroups import lesion_share, lesion_thirds
from fracbench.summary import strongest_attack

from fracbench_leaderboard.reading import read_gallery, read_tables

OUTCOMES = ("missed already", "false alarm already", "missed under attack", "false alarm under attack", "survived",
            "not attacked")  # fmt: skip
SIZES = ("small", "middle", "large")


def cases_of(row: Mapping[str, Any]) -> pd.DataFrame | None:
    """One line for each image of the gallery, the lowest margin first; None where tables cannot be read.

    ``label``; ``margin``, clean and ``attacked`` (the lowest under any attack of the reference threat, ``attack``);
    ``outcome``, one of ``OUTCOMES``; ``area``, the share of the picture that is fracture, and its third ``size`` among
    all annotated images; ``hit`` and ``hit_attacked``, the share of the headline's explainers whose peak lies on the
    fracture.
    """
    return _cases(row["path"], state_of(Path(row["path"])), row)


@st.cache_data(max_entries=32, show_spinner=False)
def _cases(path: str, state: Any, _row: Mapping[str, Any]) -> pd.DataFrame | None:
    row = _row
    tables = read_tables(row, "images", "predictions", "alignment")
    gallery = read_gallery(row)
    if tables is None or gallery.empty:
        return None
    images = tables["images"].set_index("image")
    thirds = lesion_thirds(images).map(dict(enumerate(SIZES)))
    predictions = tables["predictions"]
    clean = predictions[predictions.attack == "clean"].set_index("image").margin
    attacked = whole_attacks(predictions, row["threat"], parse_epsilon(row["epsilon"]))
    by_image = attacked.groupby("image")
    spared = by_image.correct.all()
    alignment = tables["alignment"][tables["alignment"].explainer.isin(row["panel"])]
    hits = alignment.groupby(["image", "attack"]).hit.mean()
    cases = pd.DataFrame(index=pd.Index(gallery.image.unique(), name="image"))
    cases["label"] = images.label.reindex(cases.index)
    cases["margin"] = clean.reindex(cases.index)
    cases["attacked"] = by_image.margin.min().reindex(cases.index)
    cases["attack"] = strongest_attack(attacked, list(row["attacks"])).reindex(cases.index).fillna("")
    wrong = ~(cases.margin > 0)
    asked = cases.index.isin(spared.index)
    survived = spared.reindex(cases.index, fill_value=False).astype(bool)
    fractured = cases.label == 1
    cases["outcome"] = np.select(
        [wrong & fractured, wrong, ~asked, survived, fractured],
        ["missed already", "false alarm already", "not attacked", "survived", "missed under attack"],
        "false alarm under attack",
    )
    cases["area"] = lesion_share(images).reindex(cases.index)
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
