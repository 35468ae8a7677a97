"""A strong attack on what hides its gradient: averages over randomness, goes through steps, estimates the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from fracbench.contracts import Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Margins
from fracbench.threat import blind, project

from fracbench_plugins.attacks._fields import at_least_one, between
from fracbench_plugins.attacks._gradients import Lowest, margin_and_gradient, steepest
from fracbench_plugins.attacks._straight_through import StraightThrough

REACH = 0.02  # least distance, in pixel values, over which a gradient is estimated: past the steps of 5 bits


@dataclass(frozen=True)
class Adaptive:
    """Projected gradient descent with momentum on the margin, from the image and from random points.

    The gradient is a mean over ``samples`` calls where the model's answers vary (expectation over transformation,
    Athalye et al. 2018, arXiv 1707.07397); rounding, comparisons and the like count as the identity on the way back
    (``straight_through``); where it is zero or leads nowhere even so, it is estimated from ``directions`` pairs of
    points (SPSA, Uesato et al. 2018, arXiv 1802.05666). What survives all restarts is attacked once more by estimates
    alone, since a gradient may also lead astray.
    """

    steps: int = 40
    restarts: int = 2
    samples: int = 20
    directions: int = 16
    straight_through: bool = True
    momentum: float = 0.75

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, restarts=self.restarts, samples=self.samples)
        between(0, 10_000, directions=self.directions)
        between(0, 1, momentum=self.momentum)

    @property
    def passes(self) -> tuple[int, int]:
        each, estimated = self.restarts * (self.steps + 1) * self.samples, 1 + 2 * self.directions
        return 4 + each * estimated + (self.steps + 1) * estimated, each + 2

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        with torch.no_grad():
            random = not torch.allclose(model(images), model(images), rtol=1e-4, atol=1e-5)
        samples, way = self.samples if random else 1, self._way(model, images, labels)

        def slope(at: Images) -> tuple[Margins, Images]:
            return self._gradient(model, at, labels, samples, threat, generator, way)

        lowest = Lowest(images)
        for restart in range(self.restarts):
            start = images
            if restart:
                noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
                start = project(images, images + threat.epsilon * noise, threat)
            self._descend(images, start, threat, slope, lowest)
        left = lowest.margin > 0
        if left.any() and self.directions:  # a gradient that is there may still lead astray
            rest, theirs = images[left], labels[left]

            def estimate(at: Images) -> tuple[Margins, Images]:
                with torch.no_grad():
                    margin = label_margin(model(at), theirs)
                return margin, self._estimated(model, at, theirs, 1, threat, generator)

            last = Lowest(rest)
            self._descend(rest, rest, threat, estimate, last)
            better = left.clone()
            better[left] = last.margin < lowest.margin[left]
            lowest.images[better] = last.images[better[left]]
        return lowest.images

    def _descend(
        self,
        images: Images,
        start: Images,
        threat: ThreatModel,
        slope: Callable[[Images], tuple[Margins, Images]],
        lowest: Lowest,
    ) -> None:
        """From ``start`` against ``slope``, which gives margin and gradient; steps shrink by a cosine."""
        current, velocity = start, torch.zeros_like(images)
        for number in range(self.steps + 1):
            margin, gradient = slope(current)
            if current is not images:  # the clean image is no attempt
                lowest.keep(current, margin)
            if number < self.steps:
                velocity = self.momentum * velocity + steepest(gradient, threat.norm)
                size = threat.epsilon * (1 + math.cos(math.pi * number / self.steps)) / 2
                current = project(images, current - size * steepest(velocity, threat.norm), threat)

    def _way(self, model: Model, images: Images, labels: Labels) -> Callable[[], AbstractContextManager[object]]:
        """How gradients are taken: through steps of all kinds, through rounding alone, or as they are."""
        if not self.straight_through:
            return nullcontext
        for comparisons in (True, False):
            try:
                with StraightThrough(comparisons):
                    margin_and_gradient(model, images[:2], labels[:2])
                return partial(StraightThrough, comparisons)
            except Exception:  # it needs true bits or whole numbers somewhere; as it is, it does run
                continue
        return nullcontext

    def _gradient(
        self,
        model: Model,
        images: Images,
        labels: Labels,
        samples: int,
        threat: ThreatModel,
        rng: torch.Generator,
        way: Callable[[], AbstractContextManager[object]],
    ) -> tuple[Margins, Images]:
        """Mean margin and its gradient, estimated where it is zero."""
        margin, gradient = torch.zeros(len(images), device=images.device), torch.zeros_like(images)
        with way():
            for _ in range(samples):
                one, slope = margin_and_gradient(model, images, labels)
                margin, gradient = margin + one / samples, gradient + slope / samples
        lost = blind(margin, gradient, threat.norm)
        if lost.any() and self.directions:
            gradient[lost] = self._estimated(model, images[lost], labels[lost], samples, threat, rng)
        return margin, gradient

    @torch.no_grad()
    def _estimated(
        self, model: Model, images: Images, labels: Labels, samples: int, threat: ThreatModel, rng: torch.Generator
    ) -> Images:
        reach = max(threat.epsilon if threat.norm == "linf" else 0.0, REACH)
        total = torch.zeros_like(images)
        for _ in range(self.directions):
            direction = (torch.randint(2, images.shape, generator=rng) * 2 - 1).to(images)
            for _ in range(samples):
                ahead, behind = (model((images + way * reach * direction).clamp(0, 1)) for way in (1, -1))
                slope = (label_margin(ahead, labels) - label_margin(behind, labels)) / (2 * reach)
                total += slope.view(-1, 1, 1, 1) * direction
        return total / (self.directions * samples)
