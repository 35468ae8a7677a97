"""Gradient SHAP (Lundberg and Lee 2017, arXiv 1705.07874; Erion et al. 2019, arXiv 1906.10670)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._gradient import gradient_at, shares
from fracbench_plugins.explainers._seeding import Draws


@dataclass(frozen=True)
class GradientSHAP:
    """Contributions relative to flat images, averaged over random ones; native grid: the image.

    Each of ``samples`` draws a flat image with a grey value in [0, ``brightest``], adds noise with standard deviation
    ``noise`` to the image, and takes the gradient at a random place between the two, times their difference. With
    ``brightest`` and ``noise`` at 0 it estimates integrated gradients. Draws are seeded by the image's bytes and
    ``seed``.
    """

    samples: int = 25
    brightest: float = 0.5
    noise: float = 0.05
    seed: int = 0

    sign: ClassVar[Literal["positive"]] = "positive"
    answers_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError("samples must be at least 1")
        if not 0 <= self.brightest <= 1:
            raise ValueError("brightest must lie between 0 and 1")
        if not 0 <= self.noise <= 1:
            raise ValueError("noise must lie between 0 and 1")

    @property
    def passes(self) -> tuple[int, int]:
        return self.samples, self.samples

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        draws = Draws(images, self.seed)
        total = torch.zeros_like(images)
        for n in shares(self.samples, margin_model.copies(images)):
            drawn = [self._drawn(images, draws) for _ in range(n)]
            places, changes = (torch.cat(of) for of in zip(*drawn, strict=True))
            total += (changes * gradient_at(margin_model, places)).unflatten(0, (n, -1)).sum(0)
        return total[:, 0] / self.samples

    def _drawn(self, images: Images, draws: Draws) -> tuple[Images, Images]:
        """Where the gradient is taken, and the way from a flat image that it lies on."""
        baseline = self.brightest * draws.uniform()
        change = images + self.noise * draws.normal() - baseline
        return baseline + draws.uniform() * change, change
