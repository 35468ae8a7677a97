"""Rows of ``predictions.parquet``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fracbench.tensors import Margins, Scores


def prediction_rows(
    ids: Sequence[str],
    threat: str,
    epsilon: float,
    attack: str,
    margin: Margins,
    distance: Scores,
    adversarial_distance: Scores,
) -> pd.DataFrame:
    """One row per image; a margin that is not a number is not correct."""
    values = margin.cpu().numpy()
    return pd.DataFrame(
        {
            "image": list(ids),
            "threat": threat,
            "epsilon": epsilon,
            "attack": attack,
            "part": "",
            "margin": values,
            "correct": values > 0,
            "distance": distance.cpu().numpy(),
            "adversarial_distance": adversarial_distance.cpu().numpy(),
            "carried": False,
            "ladder": False,
        }
    )
