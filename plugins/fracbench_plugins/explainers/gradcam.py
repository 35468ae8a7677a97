"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from captum.attr import LayerGradCam
from fracbench.contracts import MarginModel, Unsupported
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._layers import find_layer


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
        return 2, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        _, module = find_layer(margin_model.network, images[:1], self.layer, self.min_grid)
        given = images.detach().requires_grad_(True)
        maps = LayerGradCam(margin_model, module).attribute(given, relu_attributions=False)
        if not isinstance(maps, torch.Tensor) or maps.ndim != 4 or maps.shape[1] != 1:
            raise Unsupported("Grad-CAM needs a layer with a (channels, height, width) output")
        return maps[:, 0].detach()
