"""The gradient that several explainers use, or average."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Images
from torch import Tensor


def gradient(margin_model: MarginModel, images: Images) -> Tensor:
    """That of the images being explained: one backward pass serves all who ask."""
    return margin_model.shared("gradient", lambda: gradient_at(margin_model, images))


def gradient_at(margin_model: MarginModel, images: Images) -> Tensor:
    """Of the fracture margin with respect to each pixel, (batch, 1, height, width)."""
    given = images.detach().requires_grad_(True)
    return torch.autograd.grad(margin_model(given).sum(), given)[0]


def shares(total: int, at_once: int) -> Iterator[int]:
    """How many of ``total`` to do next, at most so many at once."""
    for done in range(0, total, at_once):
        yield min(at_once, total - done)
