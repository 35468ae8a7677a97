"""The geometry of threat models: project into the ball, measure the distance."""

from __future__ import annotations

import torch

from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Scores


def distance(images: Images, others: Images, norm: str) -> Scores:
    """Distance per image, shape (batch,), in pixel units of [0, 1]."""
    difference = (others - images).flatten(1)
    return difference.abs().amax(1) if norm == "linf" else difference.norm(dim=1)


def project(images: Images, adv_images: Images, threat: ThreatModel) -> Images:
    """The nearest point to ``adv_images`` in the ball around ``images``, clipped to [0, 1].

    Clipping towards [0, 1] never leaves either ball, since ``images`` lie in [0, 1] themselves.
    """
    if threat.norm == "linf":
        lower, upper = images - threat.epsilon, images + threat.epsilon
        return torch.minimum(torch.maximum(adv_images, lower), upper).clamp(0, 1)
    size = distance(images, adv_images, "l2").clamp_min(1e-12)
    scale = (threat.epsilon / size).clamp_max(1).view(-1, *[1] * (images.ndim - 1))
    return (images + (adv_images - images) * scale).clamp(0, 1)
