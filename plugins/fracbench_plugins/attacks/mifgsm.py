"""Momentum iterative fast gradient sign method (Dong et al. 2018, arXiv 1710.06081)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fracbench.contracts import Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import project

from fracbench_plugins.attacks._fields import at_least_one, between, positive
from fracbench_plugins.attacks._gradients import Lowest, margin_and_gradient, steepest


@dataclass(frozen=True)
class MIFGSM:
    """Steps along the accumulated gradient, each normalised by its L1 norm; keeps the iterate of lowest margin.

    ``rel_step_size`` is a step in units of epsilon; the default, as in the paper, reaches epsilon over all steps.
    """

    steps: int = 10
    decay: float = 1.0
    rel_step_size: float | None = None

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)
        positive(rel_step_size=self.rel_step_size)
        between(0, 100, decay=self.decay)

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps + 1, self.steps

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        step = threat.epsilon * (1 / self.steps if self.rel_step_size is None else self.rel_step_size)
        lowest, current, momentum = Lowest(images), images, torch.zeros_like(images)
        for number in range(self.steps):
            margin, gradient = margin_and_gradient(model, current, labels)
            if number:  # the clean image is no attempt
                lowest.keep(current, margin)
            size = gradient.abs().flatten(1).sum(1).clamp_min(1e-12).view(-1, 1, 1, 1)
            momentum = self.decay * momentum + gradient / size
            current = project(images, current - step * steepest(momentum, threat.norm), threat)
        with torch.no_grad():
            lowest.keep(current, label_margin(model(current), labels))
        return lowest.images
