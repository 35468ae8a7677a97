"""Centre prior: fractures are seldom at the border of a radiograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class Centre:
    """A Gaussian around the image's centre; ``width`` is its standard deviation as a share of the side."""

    width: float = 0.25

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        height, width = images.shape[-2:]
        rows = torch.linspace(-1, 1, height, device=images.device)[:, None]
        columns = torch.linspace(-1, 1, width, device=images.device)[None, :]
        blob = torch.exp(-(rows**2 + columns**2) / (2 * (2 * self.width) ** 2))
        return blob.expand(len(images), height, width).clone()
