"""What each alignment score counts, in words and as a picture of one map and one fracture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from fracbench.stats import auroc
from numpy.typing import NDArray
from PIL import Image

from fracbench_leaderboard.pictures import OUTLINE, outline

SIDE, SCALE = 64, 5  # pixels of the example, and by how much it is enlarged
FOR, AGAINST = (0, 158, 115), (148, 88, 190)
TOLERANCE = 15 / 224 * SIDE

DEFINITIONS = {
    "pointing_game": "The map's maximum lies on the fracture: 1 or 0 (Zhang et al. 2018).",
    "hit": "The same within a tolerance of 15/224 of the side; where several pixels share the peak, the share of them "
    "inside. The headline asks for it before and after the strongest attack.",
    "relevance_mass_accuracy": "The share of the map's mass that lies on the fracture (Arras et al. 2022).",
    "relevance_rank_accuracy": "Of as many highest pixels as the fracture has, the share that lies on it (Arras et al. "
    "2022). Calibrated alignment is made of it.",
    "attribution_localisation": "The share of the positive mass that lies on the fracture (Kohlbrenner et al. 2020).",
    "top_k_intersection": "Of the highest 5 % of pixels, the share that lies on the fracture (Theiner et al. 2021).",
    "auc": "How often a pixel of the fracture has a higher value than another one (Fawcett 2006).",
    "iou": "The overlap of the fracture with all above Otsu's threshold, over what the two cover together.",
    "instance_recall": "The share of an image's fractures on which the map's maximum within the tolerance is among its "
    "highest 1 % of pixels.",
}
Counted = tuple[NDArray[np.bool_], NDArray[np.bool_], float]  # pixels for and against, and the score


@cache
def example() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A map with two bumps, one of them near a fracture, and the mask of that fracture."""
    y, x = np.mgrid[:SIDE, :SIDE]

    def bump(row: float, column: float, width: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2)))

    values = bump(30, 29, 6) + 0.75 * bump(48, 46, 5) + 0.05 * np.sin(x / 5) ** 2
    mask = ((y - 33) / 9) ** 2 + ((x - 24) / 5) ** 2 <= 1
    return values / values.max(), mask


def _top(values: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    found = np.zeros(values.size, bool)
    found[np.argsort(-values, axis=None, kind="stable")[:k]] = True
    return found.reshape(values.shape)


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE]
    rows, columns = np.nonzero(mask)
    return np.asarray(((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(-1) <= TOLERANCE**2)


def _share(chosen: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Counted:
    return chosen & mask, chosen & ~mask, float((chosen & mask).sum() / chosen.sum())


def _mass(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> Counted:
    much = values > 0.08
    return much & mask, much & ~mask, float(values[mask].sum() / values.sum())


def _iou(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> Counted:
    above = values > _otsu(values)
    return above & mask, above ^ mask, float((above & mask).sum() / (above | mask).sum())


def _otsu(values: NDArray[np.float64]) -> float:
    """The threshold with the largest variance between both sides, of 255."""
    cuts = np.arange(1, 255) / 255
    low = np.array([(values <= cut).mean() for cut in cuts])
    means = np.array([values[values <= cut].mean() for cut in cuts])
    between = (values.mean() * low - low * means) ** 2 / (low * (1 - low)).clip(1e-9)
    return float(cuts[between.argmax()])


def _auc(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> Counted:
    return mask, ~mask & (values > np.median(values[mask])), auroc(values.ravel(), mask.ravel())


def _instance(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> Counted:
    highest = _top(values, round(values.size / 100))
    found = highest & _near(mask)
    return found, highest & ~found, float(found.any())


COUNT: dict[str, Callable[[NDArray[np.float64], NDArray[np.bool_]], Counted]] = {
    "pointing_game": lambda values, mask: _share(_top(values, 1), mask),
    "hit": lambda values, mask: _share(_top(values, 1), _near(mask)),
    "relevance_mass_accuracy": _mass,
    "relevance_rank_accuracy": lambda values, mask: _share(_top(values, int(mask.sum())), mask),
    "attribution_localisation": _mass,
    "top_k_intersection": lambda values, mask: _share(_top(values, round(0.05 * values.size)), mask),
    "auc": _auc,
    "iou": _iou,
    "instance_recall": _instance,
}


def drawing(name: str) -> tuple[Image.Image, float]:
    """The example with what a score counts in colour, and the score itself."""
    values, mask = example()
    speaks_for, against, score = COUNT[name](values, mask)
    shown = 235 - values[..., None] * (np.array([235, 235, 235]) - np.array([240, 150, 40]))
    for chosen, colour in ((speaks_for, FOR), (against, AGAINST)):
        if chosen.sum() == 1:  # a point is drawn large enough to be seen
            y, x = np.mgrid[:SIDE, :SIDE]
            row, column = np.argwhere(chosen)[0]
            chosen = (y - row) ** 2 + (x - column) ** 2 <= 4
        shown[chosen] = 0.25 * shown[chosen] + 0.75 * np.array(colour)
    large = Image.fromarray(shown.clip(0, 255).astype(np.uint8)).resize((SIDE * SCALE,) * 2, Image.Resampling.NEAREST)
    edges = [(mask, OUTLINE)] + ([(_near(mask), (130, 130, 130))] if name in ("hit", "instance_recall") else [])
    pixels = np.asarray(large).copy()
    for region, colour in edges:
        pixels[outline(np.kron(region, np.ones((SCALE, SCALE), bool)).astype(bool), 1)] = colour
    return Image.fromarray(pixels), score
