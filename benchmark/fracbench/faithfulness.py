"""Does the output follow the map? Quantus's pixel flipping and sparseness, beside localisation, on a sample."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fracbench.models import Guarded
from fracbench.schema import FAITHFULNESS
from fracbench.tensors import Images, Maps, Masks, Scores
from fracbench.undisturbed import undisturbed

FLIPS, MOST_FLIPS = 32, 256  # steps in which a map's pixels are flipped: about so many, and at most


def flips(side: int) -> int:
    """Steps for images of this side: Quantus wants all of one size, so a divisor of the number of pixels."""
    pixels = side * side
    return min((n for n in range(1, MOST_FLIPS + 1) if pixels % n == 0), key=lambda n: abs(math.log(n / FLIPS)))


def faithfulness(model: Guarded, images: Images, maps: Maps, valid: Masks) -> dict[str, Scores]:
    """(batch,) scores of maps (batch, H, W) of fractured images (batch, 1, H, W); NaN for a blank map.

    ``pixel_flipping`` (Bach et al. 2015, doi:10.1371/journal.pone.0130140) is the mean probability of a fracture while
    pixels turn black in the order of the map, lower is more faithful; ``sparseness`` (Chalasani et al. 2020,
    arXiv 1810.06583) the Gini index of the map, 0 for an even one and near 1 for a point.
    """
    quantus: Any = import_module("quantus")  # seconds to import

    marked = maps.flatten(1).any(1)
    scores = {name: torch.full((len(maps),), torch.nan, device=maps.device) for name in FAITHFULNESS}
    if not marked.any():
        return scores
    step = images[0].numel() // flips(images.shape[-1])
    common: dict[str, Any] = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}
    flipping = quantus.PixelFlipping(features_in_step=step, perturb_baseline=0.0, **common)
    x, a = images[marked].cpu().numpy(), maps[marked][:, None].cpu().numpy()
    given = {"x_batch": x, "y_batch": np.ones(len(x), dtype=int), "a_batch": a, "batch_size": len(x)}
    with undisturbed(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = str(images.device)
        flipped = flipping(model=model, softmax=True, device=device, channel_first=True, **given)
        flipped = np.asarray(flipped).reshape(len(x), -1).mean(1)  # its own area under the curve needs an older numpy
        even = quantus.Sparseness(**common | {"abs": True})
        gini = [_gini(even, of, inside) for of, inside in zip(maps[marked], valid[marked], strict=True)]
    for name, values in zip(FAITHFULNESS, (flipped, gini), strict=True):
        scores[name][marked] = torch.tensor(np.asarray(values, dtype=np.float32), device=maps.device)
    return scores


def _gini(sparseness: Any, values: Tensor, inside: Tensor) -> float:
    """Of the rectangle of picture alone: padding would make every map sparse."""
    picture = values[inside.any(1)][:, inside.any(0)][None, None].cpu().numpy()
    given = {"x_batch": picture, "y_batch": np.ones(1, dtype=int), "a_batch": picture, "batch_size": 1}
    return float(sparseness(model=None, channel_first=True, **given)[0])
