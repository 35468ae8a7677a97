"""Bit-depth reduction before a network: a defence by gradient masking, kept as a control."""

from __future__ import annotations

from typing import Any

from fracbench.contracts import InputError
from fracbench.tensors import Images, Logits

from fracbench_plugins.models.timm_model import TimmModel


class Rounded(TimmModel):
    """A timm model that sees its images (batch, 1, H, W) rounded to ``levels`` grey values.

    Feature squeezing (Xu et al. 2018, arXiv 1704.01155). The gradient of rounding is zero, so an attack that follows
    gradients goes nowhere, which is no robustness (Athalye et al. 2018, arXiv 1802.00420). Other parameters as in
    ``timm``.
    """

    def __init__(self, architecture: str, levels: int = 32, **others: Any) -> None:
        if levels < 2:
            raise InputError(f"levels must be at least 2, got {levels}")
        super().__init__(architecture, **others)
        self.levels = levels

    def forward(self, images: Images) -> Logits:
        steps = self.levels - 1
        return super().forward((images * steps).round() / steps)
