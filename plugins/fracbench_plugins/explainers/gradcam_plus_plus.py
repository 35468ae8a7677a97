"""Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063)."""

from __future__ import annotations

from dataclasses import dataclass

from fracbench.tensors import Attributions
from torch import Tensor

from fracbench_plugins.explainers._cam import ClassActivation

LEAST = 1e-6  # as the package grad-cam has it, whose maps these are


@dataclass(frozen=True)
class GradCAMPlusPlus(ClassActivation):
    """Channels of one layer weighted by a sum of their positive gradients; native grid: that layer's.

    It depends on how large the logits are. Each place counts in its own measure, for objects that appear in part or
    several times. ``layer`` and ``min_grid`` as in ``gradcam``.
    """

    def weighed(self, activations: Tensor, gradients: Tensor) -> Attributions:
        total = activations.sum((2, 3), keepdim=True)
        alpha = gradients**2 / (2 * gradients**2 + total * gradients**3 + LEAST)  # equation 19
        weights = (gradients.clamp_min(0) * alpha).sum((2, 3), keepdim=True)
        return (weights * activations).sum(1)
