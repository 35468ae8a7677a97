"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from __future__ import annotations

from dataclasses import dataclass

from fracbench.tensors import Attributions
from torch import Tensor

from fracbench_plugins.explainers._cam import ClassActivation


@dataclass(frozen=True)
class GradCAM(ClassActivation):
    """Channels of one layer weighted by their mean gradient; native grid: that layer's.

    ``layer`` names a module as ``named_modules`` of the submitted model does: of a ``timm`` model with its prefix, such
    as ``network.layer4``. By default it is the last one that everything goes through and whose grid has at least
    ``min_grid`` cells a side. 7 is what networks made for 224 px end with; a smaller image would leave them a grid too
    coarse to point at a fracture.
    """

    def weighed(self, activations: Tensor, gradients: Tensor) -> Attributions:
        return (gradients.mean((2, 3), keepdim=True) * activations).sum(1)
