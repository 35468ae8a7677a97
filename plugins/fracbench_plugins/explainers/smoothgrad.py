"""SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._gradient import gradient_at, shares
from fracbench_plugins.explainers._seeding import Draws


@dataclass(frozen=True)
class SmoothGrad:
    """Mean gradient over ``samples`` noisy copies of the image; native grid: the image.

    ``noise`` is the standard deviation as a share of the range of grey values. The noise is seeded by the
    image's bytes and ``seed``: captum's noise tunnel draws from one stream for the whole batch.
    """

    samples: int = 25
    noise: float = 0.1
    seed: int = 0

    sign: ClassVar[Literal["absolute"]] = "absolute"
    answers_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError("samples must be at least 1")
        if not 0 <= self.noise <= 1:
            raise ValueError("noise must lie between 0 and 1")

    @property
    def passes(self) -> tuple[int, int]:
        return self.samples, self.samples

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        draws = Draws(images, self.seed)
        total = torch.zeros_like(images)
        for n in shares(self.samples, margin_model.copies(images)):
            noisy = torch.cat([images + self.noise * draws.normal() for _ in range(n)])
            total += gradient_at(margin_model, noisy).unflatten(0, (n, -1)).sum(0)
        return total[:, 0] / self.samples
