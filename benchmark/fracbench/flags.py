"""Signs that a robust accuracy may not be what it seems, each with a sentence on what it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench.schema import ADAPTIVE

LEAST_IMAGES, LEAST_SHARE = 3, 0.02  # one attack is stronger than others when it breaks so many that they did not
BLIND_SHARE = 0.05
NO_GAIN_SHARE = 0.1
CHANGE = 0.01  # of the margins' spread
ANSWER = 0.05  # of the spread: so far an attack that is not blind moves a margin

# the first four unrank a row until the adaptive attack has run
FLAG_TEXT = {
    "zero_gradient": "the gradient is zero, or too flat to lead anywhere, on over 5 % of clean images, so gradient "
    "attacks may be blind",
    "jumps": "the margin jumps where the answer changes: answers are steps, and no gradient says where they are",
    "random": "predictions differ between calls; 20 were taken and one wrong answer counted",
    "black_box_stronger": "a black box broke images that no gradient attack broke, so gradients may be masked",
    "saturated_cross_entropy": "APGD on the margin broke images that APGD on cross-entropy did not: the loss saturates",
    "probabilities": "the outputs are probabilities, not logits, which blunts every loss made from them",
    "steps_do_not_help": "on over 10 % of images one step did better than many, so gradients may mislead",
    "survives_half": "images stay correct though every pixel may change by half the range: attacks are blind, or the "
    "answer is constant",
    "batch_dependent": "an image alone is answered otherwise than in a batch",
    "precision_dependent": "double precision is answered otherwise: the network leans on rounding",
}
UNRANKING = ("zero_gradient", "jumps", "random", "black_box_stronger")


def leaves_of(attacked: pd.DataFrame) -> pd.DataFrame:
    """Rows of attacks and of the parts of ensembles, in ``leaf`` their names; an ensemble's own rows are left out."""
    parents = attacked[attacked.part != ""].attack.unique()
    rows = attacked[~((attacked.part == "") & attacked.attack.isin(parents))]
    return rows.assign(leaf=rows.part.where(rows.part != "", rows.attack))


def flags_of(
    clean: pd.DataFrame,
    attacked: pd.DataFrame,
    *,
    random: bool,
    black_box: Sequence[str],
    symptoms: Iterable[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The flags of a row, in the order of ``FLAG_TEXT``: name, text, images it rests on, whether it unranks.

    ``clean`` holds the clean rows by image, ``attacked`` those under the reference threat, parts included;
    ``symptoms`` are those of all logical batches. A flag is ``answered`` when the adaptive attack attempted every
    image; zero gradients only where it broke 95 % of them or moved their margins by a share of the spread of all, jumps
    only where it broke 95 %, and a stronger black box only when it then no longer is.
    """
    broken = attacked[~attacked.correct.astype(bool)].image
    counts = _counted(clean, attacked[attacked.attack != ADAPTIVE], random, black_box) | shown_by(
        list(symptoms), broken
    )
    adaptive = attacked[attacked.attack == ADAPTIVE].set_index("image").margin.reindex(clean.index)
    answered = {name: bool(adaptive.notna().all()) and len(clean) > 0 for name in UNRANKING}
    moved = (adaptive <= 0) | (adaptive < clean.margin - ANSWER * clean.fracture_margin.std(ddof=0))
    answered["zero_gradient"] &= bool(moved.mean() >= 1 - BLIND_SHARE)
    answered["jumps"] &= bool((adaptive <= 0).mean() >= 1 - BLIND_SHARE)
    answered["black_box_stronger"] &= "black_box_stronger" not in _counted(clean, attacked, random, black_box)
    return [
        {
            "name": name,
            "text": text,
            "images": counts[name],
            "unranks": name in UNRANKING,
            "answered": answered.get(name, False),
        }
        for name, text in FLAG_TEXT.items()
        if name in counts
    ]


def unanswered(flags: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the flags that keep a row from being ranked."""
    return [flag["name"] for flag in flags if flag["unranks"] and not flag["answered"]]


def _counted(clean: pd.DataFrame, attacked: pd.DataFrame, random: bool, black_box: Sequence[str]) -> dict[str, int]:
    """Flags that show in prediction rows, with the number of images they rest on."""
    found: dict[str, int] = {}
    blind = int(clean.zero_gradient.fillna(False).astype(bool).sum())
    if blind > BLIND_SHARE * len(clean):
        found["zero_gradient"] = blind
    if random:
        found["random"] = len(clean)
    correct = clean.correct.fillna(False).astype(bool)
    leaves = leaves_of(attacked)
    black = leaves.leaf.isin(black_box)
    pairs = {
        "black_box_stronger": (leaves[black], leaves[~black]),
        "saturated_cross_entropy": (leaves[leaves.leaf == "apgd-margin"], leaves[leaves.leaf == "apgd-ce"]),
    }
    for name, (strong, weak) in pairs.items():
        only = _only(strong, weak, correct)
        if only >= LEAST_IMAGES and only >= LEAST_SHARE * len(clean):
            found[name] = only
    better = _one_step_better(leaves[~black], correct)
    if better > NO_GAIN_SHARE * max(1, int(correct.sum())):
        found["steps_do_not_help"] = better
    return found


def _only(strong: pd.DataFrame, weak: pd.DataFrame, correct: pd.Series) -> int:
    """Images that one set of attacks broke and the other attempted and did not."""
    if strong.empty or weak.empty:
        return 0
    breaks = ~strong.groupby("image").correct.all()
    survives = weak.groupby("image").correct.all()
    return int((correct & survives & breaks).sum())


def _one_step_better(white: pd.DataFrame, correct: pd.Series) -> int:
    """Correct images whose margin one step of full size lowers more than any attack of many steps."""
    one, many = white[white.leaf == "fgsm"], white[white.leaf != "fgsm"]
    if one.empty or many.empty:
        return 0
    single = one.set_index("image").margin
    lowest = many.groupby("image").margin.min().reindex(single.index)
    return int((correct.reindex(single.index, fill_value=False) & (single < lowest - 1e-3 * lowest.abs() - 1e-6)).sum())


def shown_by(symptoms: Sequence[Mapping[str, Any]], broken: Iterable[str] = ()) -> dict[str, int]:
    """Flags that show in the symptoms of batches, with the images they rest on; a survivor since ``broken`` is none."""
    if not symptoms:
        return {}
    images = sum(of["images"] for of in symptoms)
    found = {}
    jumps, crossed = (sum(of[key] for of in symptoms) for key in ("jumps", "crossed"))
    if jumps > BLIND_SHARE * crossed:
        found["jumps"] = jumps
    if all(of["probabilities"] for of in symptoms):
        found["probabilities"] = images
    survivors = {name for of in symptoms for name in of.get("survivors", ())} - set(broken)
    if survivors:
        found["survives_half"] = len(survivors)
    for name, key in (("batch_dependent", "batch"), ("precision_dependent", "precision")):
        changes = [of[key] for of in symptoms if of[key] is not None]
        if changes and np.max(changes) > CHANGE:
            found[name] = images
    return found
