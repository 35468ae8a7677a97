"""Input times gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from captum.attr import InputXGradient as CaptumInputXGradient
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class InputXGradient:
    """Each pixel times its gradient: what a linear model adds up relative to a black image; native grid: the image."""

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        given = images.detach().requires_grad_(True)
        return CaptumInputXGradient(margin_model).attribute(given)[:, 0].detach()
