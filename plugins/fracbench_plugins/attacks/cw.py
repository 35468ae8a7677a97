"""Carlini and Wagner's L2 attack (2017, arXiv 1608.04644) for two classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import distance

from fracbench_plugins.attacks._fields import at_least_one, positive
from fracbench_plugins.attacks._gradients import Lowest, margin_and_gradient

INSIDE = 1 - 1e-6  # atanh is infinite at the ends of [0, 1]


@dataclass(frozen=True)
class CWL2:
    """Adam on squared L2 distance + c x positive part of the margin, over tanh(w), so that pixels stay in [0, 1]; c is
    searched for each image, ``searches`` times.

    In units of the task, so that neither the size of images nor the scale of logits matters: a step of Adam is
    ``rel_step_size`` of epsilon long, and the first c would put a linear model's boundary at epsilon. Returns the
    nearest adversarial image, in the ball or not; where none was found, the iterate of lowest margin.
    """

    steps: int = 100
    searches: int = 5
    rel_step_size: float = 0.1

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    minimal_norm: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, searches=self.searches)
        positive(rel_step_size=self.rel_step_size)

    @property
    def passes(self) -> tuple[int, int]:
        return self.searches * (self.steps + 1) + 1, self.searches * self.steps + 1

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        n = len(images)
        start = torch.atanh((images * 2 - 1) * INSIDE)
        _, gradient = margin_and_gradient(model, images, labels)
        c = 2 * threat.epsilon / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        rate = self.rel_step_size * threat.epsilon * 2 / math.sqrt(images[0].numel())  # dx/dw is at most 1/2
        lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
        nearest, best, lowest = torch.full_like(c, torch.inf), images.clone(), Lowest(images)
        for _ in range(self.searches):
            w = start.clone().requires_grad_(True)
            optimiser = torch.optim.Adam([w], lr=rate)
            succeeded = torch.zeros(n, dtype=torch.bool, device=images.device)
            for number in range(self.steps + 1):
                last = number == self.steps
                with torch.set_grad_enabled(not last):
                    current = (torch.tanh(w) + 1) / 2
                    margin = label_margin(model(current), labels)
                    away = (current - images).flatten(1).square().sum(1)
                    loss = (away + c * margin.clamp_min(0)).sum()
                with torch.no_grad():
                    seen = current.detach()
                    if number:  # the clean image is no attempt
                        lowest.keep(seen, margin.detach())
                        length = distance(images, seen, "l2")
                        adversarial = margin <= 0
                        closer = adversarial & (length < nearest)
                        nearest[closer], best[closer] = length[closer], seen[closer]
                        succeeded |= adversarial
                if not last:
                    optimiser.zero_grad()
                    (w.grad,) = torch.autograd.grad(loss, w)
                    optimiser.step()
            upper = torch.where(succeeded, c.minimum(upper), upper)
            lower = torch.where(succeeded, lower, c.maximum(lower))
            c = torch.where(upper.isfinite(), (lower + upper) / 2, c * 10)
        found = nearest.isfinite().view(-1, 1, 1, 1)
        return torch.where(found, best, lowest.images)
