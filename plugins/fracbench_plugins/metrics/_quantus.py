"""Quantus itself (Hedstroem et al. 2023, arXiv 2202.06861), called so that it neither rescales nor takes absolutes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from fracbench.tensors import Maps, Masks, Scores


def scores(metric: str, maps: Maps, masks: Masks, **parameters: Any) -> Scores:
    """Quantus's ``metric`` of maps (batch, H, W) against masks, (batch,); where it leaves pixels out of order, its way.

    It computes on the CPU, image by image.
    """
    import quantus  # seconds to import, and only needed to check ours

    given = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False, **parameters}
    attributions, inside = maps[:, None].cpu().numpy(), masks[:, None].cpu().numpy().astype(int)
    nothing, labels = np.zeros_like(attributions), np.ones(len(attributions), dtype=int)
    with warnings.catch_warnings():  # of its own arithmetic: it divides by what it does not use
        warnings.simplefilter("ignore")
        found = getattr(quantus, metric)(**given)(
            model=None, x_batch=nothing, y_batch=labels, a_batch=attributions, s_batch=inside, batch_size=len(labels)
        )
    return torch.tensor(np.asarray(found, dtype=np.float64), dtype=torch.float32, device=maps.device)
