"""What a map that knows nothing scores, where that is known without trying."""

from __future__ import annotations

from fracbench.tensors import Masks, Scores


def mask_share(masks: Masks, valid: Masks) -> Scores:
    """The mask's share of the picture's pixels."""
    return (masks & valid).sum((1, 2)) / valid.sum((1, 2))
