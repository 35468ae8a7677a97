"""The two axes of the board: robustness and alignment of each entry, as the reader asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fracbench.alignment_scores import HEADLINE_METRIC

EVERY_ATTACK, PANEL = "every attack", "headline panel"
ROBUST, ALIGNED = "Robust bal. acc.", "Calibrated alignment"
Score = Mapping[str, Any]  # value, low, high; None where it is not known


def attacks_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What robustness can be looked at under: every attack together, or one of them."""
    return list(dict.fromkeys([EVERY_ATTACK, *(name for row in rows for name in row["attacks"])]))


def explainers_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What alignment can be read from: the headline's explainers together, or one map."""
    return list(dict.fromkeys([PANEL, *(name for row in rows for name in row["alignment"])]))


def robust_name(attack: str) -> str:
    return ROBUST if attack == EVERY_ATTACK else f"{ROBUST}, {attack}"


def aligned_name(explainer: str) -> str:
    return ALIGNED if explainer == PANEL else f"{ALIGNED}, {explainer}"


def robustness(row: Mapping[str, Any], attack: str = EVERY_ATTACK) -> Score:
    """Robust balanced accuracy; under a single attack it comes without an interval."""
    if attack == EVERY_ATTACK:
        return dict(row["robust"]["balanced_accuracy"])
    return _bare(row["attacks"].get(attack, {}).get("robust_balanced_accuracy"))


def alignment(row: Mapping[str, Any], explainer: str = PANEL) -> Score:
    """Calibrated relevance rank accuracy on clean images; of a single explainer it comes without an interval."""
    if explainer == PANEL:
        return dict(row["calibrated_alignment"])
    return _bare(row["alignment"].get(explainer, {}).get(HEADLINE_METRIC, {}).get("clean", {}).get("calibrated"))


def _bare(value: float | None) -> Score:
    return {"value": value, "low": None, "high": None}


def weighted(row: Mapping[str, Any], weight: float, attack: str = EVERY_ATTACK, explainer: str = PANEL) -> float | None:
    """``weight`` of robustness and the rest of alignment; None where one of them is not known."""
    one, other = robustness(row, attack)["value"], alignment(row, explainer)["value"]
    return None if one is None or other is None else weight * one + (1 - weight) * other


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other is better than in one number and at least as good in the other."""

    def beaten(point: tuple[float, float]) -> bool:
        return any(
            other[0] >= point[0] and other[1] >= point[1] and (other[0] > point[0] or other[1] > point[1])
            for other in points
        )

    return [place for place, point in enumerate(points) if not beaten(point)]
