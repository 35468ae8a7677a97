"""Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class IntegratedGradients:
    """Path integral of the gradient from a black image; native grid: the image."""

    steps: int = 50

    sign: ClassVar[Literal["positive"]] = "positive"
    answers_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError("steps must be at least 2")

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps, self.steps

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        at_once = len(images) * margin_model.copies(images)
        return CaptumIntegratedGradients(margin_model).attribute(
            images, baselines=0.0, n_steps=self.steps, internal_batch_size=at_once
        )[:, 0]
