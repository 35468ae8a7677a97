"""LayerCAM (Jiang et al. 2021, doi 10.1109/TIP.2021.3089943)."""

from __future__ import annotations

from dataclasses import dataclass

from fracbench.tensors import Attributions
from torch import Tensor

from fracbench_plugins.explainers._cam import ClassActivation


@dataclass(frozen=True)
class LayerCAM(ClassActivation):
    """Activations of one layer, each weighted by its own gradient where that is positive; native grid: that layer's.

    ``layer`` and ``min_grid`` as in ``gradcam``; meant to stay sharp on early layers, too.
    """

    def weighed(self, activations: Tensor, gradients: Tensor) -> Attributions:
        return (gradients.clamp_min(0) * activations).sum(1)
