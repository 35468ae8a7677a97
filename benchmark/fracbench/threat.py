"""The geometry of threat models: project into the ball, measure the distance."""

from __future__ import annotations

import torch
from torch import Tensor

from fracbench.schema import CORRUPTIONS, ThreatModel, grey_epsilon
from fracbench.tensors import Images, Margins, Scores


def distance(images: Images, others: Images, norm: str) -> Scores:
    """Distance per image, shape (batch,), in pixel units of [0, 1]; NaN for corruptions, which have none."""
    difference = (others - images).flatten(1)
    if norm == CORRUPTIONS:
        return difference.new_full((len(images),), torch.nan)
    return difference.abs().amax(1) if norm == "linf" else difference.norm(dim=1)


def project(images: Images, adv_images: Images, threat: ThreatModel) -> Images:
    """The nearest point to ``adv_images`` in the ball around ``images``, clipped to [0, 1].

    Clipping towards [0, 1] never leaves either ball, since ``images`` lie in [0, 1] themselves. Corruptions have no
    ball: they are clipped alone.
    """
    if threat.norm == CORRUPTIONS:
        return adv_images.clamp(0, 1)
    if threat.norm == "linf":
        lower, upper = images - threat.epsilon, images + threat.epsilon
        return torch.minimum(torch.maximum(adv_images, lower), upper).clamp(0, 1)
    size = distance(images, adv_images, "l2").clamp_min(1e-12)
    scale = (threat.epsilon / size).clamp_max(1).view(-1, *[1] * (images.ndim - 1))
    return (images + (adv_images - images) * scale).clamp(0, 1)


def boundary_estimate(margin: Margins, gradient: Images, norm: str) -> Scores:
    """How far the boundary would be if the model were linear: |margin| / dual norm of the gradient, shape (batch,).

    Infinite where the gradient is zero or not finite.
    """
    flat = gradient.flatten(1)
    dual = flat.abs().sum(1) if norm == "linf" else flat.norm(dim=1)
    return torch.where((dual > 0) & dual.isfinite(), margin.abs() / dual, torch.inf)


def blind(margin: Margins, gradient: Images, norm: str) -> Tensor:
    """(batch,) bool: the gradient leads nowhere. By it, even turning the image grey would not reach the boundary."""
    return boundary_estimate(margin, gradient, norm) > grey_epsilon(norm, gradient.shape[-1])
