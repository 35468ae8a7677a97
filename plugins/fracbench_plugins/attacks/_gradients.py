"""Shared by the gradient attacks: the margin's gradient and the steepest step of a norm."""

from __future__ import annotations

import torch
from fracbench.contracts import Model, label_margin
from fracbench.tensors import Images, Labels, Margins


def margin_and_gradient(model: Model, images: Images, labels: Labels) -> tuple[Margins, Images]:
    """The margin z_y - z_other, shape (batch,), and its gradient, shape of ``images``.

    With two classes cross-entropy is log(1 + exp(-margin)): its gradient points exactly the other way,
    only its size underflows for large logits. So attacks that use the direction alone use the margin.
    """
    given = images.detach().requires_grad_(True)
    with torch.enable_grad():
        margin = label_margin(model(given), labels)
        if not margin.requires_grad:
            return margin.detach(), torch.zeros_like(images)
        (gradient,) = torch.autograd.grad(margin.sum(), given)
    return margin.detach(), gradient


def steepest(gradient: Images, norm: str) -> Images:
    """The unit step of largest increase: the sign for Linf, the normalised gradient for L2."""
    if norm == "linf":
        return gradient.sign()
    size = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))


class Lowest:
    """For each image the candidate of lowest margin so far."""

    def __init__(self, images: Images) -> None:
        self.images = images.clone()
        self.margin = torch.full((len(images),), torch.inf, device=images.device)

    def keep(self, candidates: Images, margin: Margins) -> None:
        better = margin < self.margin
        self.margin[better] = margin[better]
        self.images[better] = candidates[better]
