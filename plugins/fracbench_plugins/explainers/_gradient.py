"""The gradient that several explainers use, or average."""

from __future__ import annotations

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
