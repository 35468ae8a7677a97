"""Saliency: the size of the gradient (Simonyan et al. 2014, arXiv 1312.6034)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._gradient import gradient


@dataclass(frozen=True)
class Saliency:
    """Gradient of the fracture margin per pixel; native grid: the image."""

    sign: ClassVar[Literal["absolute"]] = "absolute"
    answers_only: ClassVar[bool] = True

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        return gradient(margin_model, images)[:, 0]
