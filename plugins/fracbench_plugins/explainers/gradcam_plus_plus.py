"""Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._cam import activations_and_gradients

LEAST = 1e-6  # as the package grad-cam has it, whose maps these are


@dataclass(frozen=True)
class GradCAMPlusPlus:
    """Channels of one layer weighted by a sum of their positive gradients; native grid: that layer's.

    It depends on how large the logits are. Each place counts in its own measure, for objects that appear in part or
    several times. ``layer`` and ``min_grid`` as in ``gradcam``.
    """

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        activations, gradients = activations_and_gradients(margin_model, images, self.layer, self.min_grid)
        total = activations.sum((2, 3), keepdim=True)
        alpha = gradients**2 / (2 * gradients**2 + total * gradients**3 + LEAST)  # equation 19
        weights = (gradients.clamp_min(0) * alpha).sum((2, 3), keepdim=True)
        return (weights * activations).sum(1)
