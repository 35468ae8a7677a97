"""What corruptions share: a strength for each severity, draws of their own for each image, and the X-ray model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from fracbench.contracts import Model
from fracbench.schema import CORRUPTIONS, ThreatModel
from fracbench.tensors import Images, Labels
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

ATTENUATION = 3.0  # of the brightest pixel: exp(-3), five photons of a hundred come through


class Corruption(ABC):
    """An attack in name only: it knows no model. ``levels`` are its strengths at severities 1 to 5."""

    norms: ClassVar[tuple[str, ...]] = (CORRUPTIONS,)
    black_box: ClassVar[bool] = True
    passes: ClassVar[tuple[int, int]] = (0, 0)
    levels: ClassVar[tuple[float, ...]]

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        return self.corrupt(images, self.level(threat), generator).clamp(0, 1)

    def level(self, threat: ThreatModel) -> float:
        """The strength at the severity of ``threat``."""
        return self.levels[int(threat.epsilon) - 1]

    @abstractmethod
    def corrupt(self, images: Images, level: float, generator: torch.Generator) -> Images:
        """Corrupted images; values beyond [0, 1] are clipped afterwards."""


def signs(images: Images, generator: torch.Generator) -> Tensor:
    """-1 or 1 for each image, shape (batch, 1, 1, 1); drawn on the CPU, so that every device draws the same."""
    drawn = torch.randint(2, (len(images), 1, 1, 1), generator=generator) * 2 - 1
    return drawn.to(images)


def uniform(images: Images, n: int, generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1], shape (batch, n), on the CPU."""
    return torch.rand(len(images), n, generator=generator)


def transmission(images: Images) -> Images:
    """The share of photons that come through, where a bright pixel is what attenuates much."""
    return torch.exp(-ATTENUATION * images)


def from_transmission(share: Images) -> Images:
    """The image that a share of photons is displayed as."""
    return -share.clamp_min(1e-6).log() / ATTENUATION


def blurred(images: Images, sigma: float) -> Images:
    """Gaussian blur of standard deviation ``sigma`` pixels; the borders are mirrored."""
    size = 2 * max(1, math.ceil(3 * sigma)) + 1
    largest = 2 * min(images.shape[2:]) - 1  # what mirroring can fill
    return gaussian_blur(images, [min(size, largest)] * 2, [sigma, sigma])
