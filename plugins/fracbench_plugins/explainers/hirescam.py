"""HiResCAM (Draelos and Carin 2020, arXiv 2011.08891)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._cam import activations_and_gradients


@dataclass(frozen=True)
class HiResCAM:
    """Activations of one layer times their gradients, not averaged over places; native grid: that layer's.

    Where only pooling and a linear head follow, a map adds up to the fracture margin less its bias. ``layer`` and
    ``min_grid`` as in ``gradcam``.
    """

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        activations, gradients = activations_and_gradients(margin_model, images, self.layer, self.min_grid)
        return (gradients * activations).sum(1)
