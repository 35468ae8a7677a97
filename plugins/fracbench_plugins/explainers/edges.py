"""Edge baseline: it explains no model, yet looks like many maps (Adebayo et al. 2018, arXiv 1810.03292)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images
from torch.nn import functional


@dataclass(frozen=True)
class Edges:
    """Sobel gradient magnitude of the image itself."""

    sign: ClassVar[Literal["absolute"]] = "absolute"

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device)
        kernels = torch.stack([sobel, sobel.T])[:, None]
        padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, kernels).norm(dim=1)
