"""Input times gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._gradient import gradient


@dataclass(frozen=True)
class InputXGradient:
    """Each pixel times its gradient: what a linear model adds up relative to a black image; native grid: the image."""

    sign: ClassVar[Literal["positive"]] = "positive"
    answers_only: ClassVar[bool] = True

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        return (images * gradient(margin_model, images))[:, 0]
