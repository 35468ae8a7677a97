"""Fast minimum-norm attack (Pintor et al. 2021, arXiv 2102.12827) for two classes.

Written here: foolbox 3.3.4, the packaged implementation, leaves its L2 steps unprojected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Scores
from fracbench.threat import boundary_estimate, distance

from fracbench_plugins.attacks._fields import at_least_one, between, positive
from fracbench_plugins.attacks._gradients import Lowest, margin_and_gradient, steepest

NOWHERE = 1e6  # finite, for what has no gradient


@dataclass(frozen=True)
class FMN:
    """A step against the margin, then a projection on a ball whose radius follows the boundary, image by image.

    The radius shrinks by ``gamma`` where the image is adversarial and grows by it where it is not; before the first
    adversarial image it is the linear estimate of the boundary's distance. Step size (in units of that estimate) and
    ``gamma`` decay by a cosine. Returns the nearest adversarial image, in the ball of the threat model or not; where
    none was found, the iterate of lowest margin.
    """

    steps: int = 100
    rel_step_size: float = 1.0
    gamma: float = 0.05

    minimal_norm: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)
        positive(rel_step_size=self.rel_step_size)
        between(0.001, 0.999, gamma=self.gamma)

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps + 1, self.steps + 1

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        norm = threat.norm
        radius = torch.full((len(images),), torch.inf, device=images.device)
        nearest, found = radius.clone(), torch.zeros_like(radius, dtype=torch.bool)
        best, lowest, current = images.clone(), Lowest(images), images
        scale = torch.zeros_like(radius)
        for number in range(self.steps + 1):
            margin, gradient = margin_and_gradient(model, current, labels)
            away = distance(images, current, norm)
            adversarial = margin <= 0
            if number:  # the clean image is no attempt
                lowest.keep(current, margin)
                closer = adversarial & (away < nearest)
                nearest, found = torch.where(closer, away, nearest), found | adversarial
                best[closer] = current[closer]
            share = (1 + math.cos(math.pi * number / self.steps)) / 2
            gamma = 0.001 + (self.gamma - 0.001) * share
            estimate = boundary_estimate(margin, gradient, norm).clamp_max(NOWHERE)
            if number == 0:  # an Linf step is clipped pixel by pixel: its L2 length counts all of them
                pixels = math.sqrt(images[0].numel()) if norm == "linf" else 1.0
                scale = estimate.clamp_min(threat.epsilon) * pixels
            shrunk = (radius * (1 - gamma)).minimum(nearest)
            grown = torch.where(found, radius, away + estimate) * (1 + gamma)
            radius = torch.where(adversarial & found, shrunk, grown)
            step = (0.01 + 0.99 * share) * self.rel_step_size * scale
            moved = current - step.view(-1, 1, 1, 1) * steepest(gradient, "l2")
            current = _inside(images, moved, radius, norm).clamp(0, 1)
        return torch.where(found.view(-1, 1, 1, 1), best, lowest.images)


def _inside(images: Images, others: Images, radius: Scores, norm: str) -> Images:
    """The nearest point of each image's own ball."""
    r = radius.view(-1, 1, 1, 1)
    if norm == "linf":
        return images + (others - images).clamp(-r, r)
    size = distance(images, others, "l2").view(-1, 1, 1, 1).clamp_min(1e-12)
    return images + (others - images) * (r / size).clamp_max(1)
