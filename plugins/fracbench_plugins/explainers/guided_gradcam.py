"""Guided Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images
from torch.nn import functional

from fracbench_plugins.explainers.gradcam import GradCAM
from fracbench_plugins.explainers.guided_backprop import GuidedBackprop


@dataclass(frozen=True)
class GuidedGradCAM:
    """Guided backprop times the positive part of Grad-CAM, enlarged bilinearly; native grid: the image.

    Valid where ``guided_backprop`` is; ``layer`` and ``min_grid`` as in ``gradcam``.
    """

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["absolute"]] = "absolute"

    @property
    def passes(self) -> tuple[int, int]:
        return 2, 2

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        fine = GuidedBackprop()(margin_model, images)
        coarse = GradCAM(self.layer, self.min_grid)(margin_model, images).clamp_min(0)
        size = images.shape[-2:]
        return fine * functional.interpolate(coarse[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
