"""HiResCAM (Draelos and Carin 2020, arXiv 2011.08891)."""

from __future__ import annotations

from dataclasses import dataclass

from fracbench.tensors import Attributions
from torch import Tensor

from fracbench_plugins.explainers._cam import ClassActivation


@dataclass(frozen=True)
class HiResCAM(ClassActivation):
    """Activations of one layer times their gradients, not averaged over places; native grid: that layer's.

    Where only pooling and a linear head follow, a map adds up to the fracture margin less its bias. ``layer`` and
    ``min_grid`` as in ``gradcam``.
    """

    def weighed(self, activations: Tensor, gradients: Tensor) -> Attributions:
        return (gradients * activations).sum(1)
