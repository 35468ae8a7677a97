"""LayerCAM (Jiang et al. 2021, doi 10.1109/TIP.2021.3089943)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._cam import activations_and_gradients


@dataclass(frozen=True)
class LayerCAM:
    """Activations of one layer, each weighted by its own gradient where that is positive; native grid: that layer's.

    ``layer`` and ``min_grid`` as in ``gradcam``; meant to stay sharp on early layers, too.
    """

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        activations, gradients = activations_and_gradients(margin_model, images, self.layer, self.min_grid)
        return (gradients.clamp_min(0) * activations).sum(1)
