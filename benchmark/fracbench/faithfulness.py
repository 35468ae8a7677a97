"""Does the output follow the map? Quantus's pixel flipping and sparseness, beside localisation, on a sample."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import torch

from fracbench.models import Guarded, undisturbed
from fracbench.schema import FAITHFULNESS
from fracbench.tensors import Images, Maps, Scores

FLIPS = 32  # steps, at most, in which a map's pixels are flipped
FLIPPED = FLIPS + 2  # forward passes an image takes


def faithfulness(model: Guarded, images: Images, maps: Maps) -> dict[str, Scores]:
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
    pixels = images[0].numel()
    step = next(of for of in range(-(-pixels // FLIPS), pixels + 1) if pixels % of == 0)  # Quantus wants equal steps
    common: dict[str, Any] = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}
    flipping = quantus.PixelFlipping(features_in_step=step, perturb_baseline="black", **common)
    x, a = images[marked].cpu().numpy(), maps[marked][:, None].cpu().numpy()
    given = {"x_batch": x, "y_batch": np.ones(len(x), dtype=int), "a_batch": a, "batch_size": len(x)}
    with undisturbed(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = str(images.device)
        flipped = flipping(model=model, softmax=True, device=device, channel_first=True, **given)
        flipped = np.asarray(flipped).reshape(len(x), -1).mean(1)  # its own area under the curve needs an older numpy
        gini = quantus.Sparseness(**common | {"abs": True})(model=None, **given)
    for name, values in zip(FAITHFULNESS, (flipped, gini), strict=True):
        scores[name][marked] = torch.tensor(np.asarray(values, dtype=np.float32), device=maps.device)
    return scores
