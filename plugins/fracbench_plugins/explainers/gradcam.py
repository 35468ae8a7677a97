"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._cam import activations_and_gradients


@dataclass(frozen=True)
class GradCAM:
    """Channels of one layer weighted by their mean gradient; native grid: that layer's.

    ``layer`` names a module of the network; by default it is the last one that everything goes through
    and whose grid has at least ``min_grid`` cells a side. 7 is what networks made for 224 px end with; a
    smaller image would leave them a grid too coarse to point at a fracture.
    """

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        activations, gradients = activations_and_gradients(margin_model, images, self.layer, self.min_grid)
        return (gradients.mean((2, 3), keepdim=True) * activations).sum(1)
