"""A study as tables people can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from fracbench.study.words import (
    change,
    effect_of,
    interval_of,
    of_all_pairs,
    of_the_panel,
    p_words,
    pairs_words,
    signed,
)

from fracbench_leaderboard.table import number

Found = Mapping[str, Any]


def pairs_table(each: Sequence[Found]) -> pd.DataFrame:
    """One line for each training pair."""
    return pd.DataFrame(
        [
            {
                "Standard": of["standard"],
                "Adversarial": of["adversarial"],
                "Seed": str(of["seed"]),
                "Raw, standard": signed(of["raw"]["standard"]),
                "Raw, adversarial": signed(of["raw"]["adversarial"]),
                "Change": interval_of(of),
                "n": str(of["n"]),
            }
            for of in each
        ]
    )


def changes_table(study: Found) -> pd.DataFrame:
    """What all pairs say together, of what was registered first and of all that lies beside it."""
    named = of_all_pairs(study) | {"all architectures": study["by_architecture"]}
    named |= {f"{name} alone": of for name, of in study["by_explainer"].items()}
    named |= of_the_panel(study)
    named |= {f"{name} balanced accuracy": of for name, of in study["manipulation"].items()}
    return pd.DataFrame(
        [
            {"Of": name, "Change": change(of), "p, corrected": p_words(of["holm"]) if "holm" in of else "",
             "d_z": effect_of(of), "Detectable": signed(of["detectable"]), "n": pairs_words(of)}
            for name, of in named.items() if of["pairs"]
        ]
    )  # fmt: skip


def beside_table(beside: Sequence[Found]) -> pd.DataFrame:
    """Every other training of a network, less its standard model."""
    return pd.DataFrame(
        [
            {"Model": of["name"], "Recipe": of["recipe"] or "–", "Less": of["standard"], "Change": interval_of(of),
             "Adversarial twin less it": interval_of(of["twin"]) if of["twin"] else "–",
             "Clean bal. acc.": number(of["clean"]), "Robust bal. acc.": number(of["robust"]), "n": str(of["n"])}
            for of in beside
        ]
    )  # fmt: skip


def across_table(steps: Sequence[Found]) -> pd.DataFrame:
    """From the founding protocol to ours, one change at a time."""

    def of(found: Found) -> str:
        return f"{signed(found['value'], 2)}, p {p_words(found['p'])}"

    return pd.DataFrame(
        [
            {"Change": step["change"], "Robustness": step["robustness"], "Alignment": step["alignment"],
             "Spearman": of(step["spearman"]), "Kendall": of(step["kendall"]),
             "Clean accuracy held fixed": of(step["partial"]), "n": str(step["n"])}
            for step in steps
        ]
    )  # fmt: skip
