"""Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from captum.attr import Occlusion as CaptumOcclusion
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images
from torch.nn import functional


@dataclass(frozen=True)
class Occlusion:
    """Drop of the fracture margin when a window is covered; native grid: ``grid`` x ``grid`` windows.

    Windows do not overlap; ``fill`` is the pixel value they are covered with.
    """

    grid: int = 8
    fill: float = 0.0

    sign: ClassVar[Literal["positive"]] = "positive"
    answers_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.grid < 2:
            raise ValueError("grid must be at least 2")

    @property
    def passes(self) -> tuple[int, int]:
        return self.grid**2 + 1, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        side = images.shape[-1]
        window = -(-side // self.grid)
        with torch.no_grad():
            drops = CaptumOcclusion(margin_model).attribute(
                images,
                sliding_window_shapes=(1, window, window),
                strides=(1, window, window),
                baselines=self.fill,
                perturbations_per_eval=margin_model.copies(images),
            )
        return functional.adaptive_avg_pool2d(drops, self.grid)[:, 0]
