"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fracbench.contracts import Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import project

from fracbench_plugins.attacks._fields import at_least_one, positive
from fracbench_plugins.attacks._gradients import Lowest, margin_and_gradient, steepest


@dataclass(frozen=True)
class PGD:
    """Steps against the margin from random starts; returns the iterate of lowest margin per image.

    ``rel_step_size`` is a step in units of epsilon; the default takes 2.5 epsilon over all steps.
    """

    steps: int = 20
    restarts: int = 1
    rel_step_size: float | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, restarts=self.restarts)
        positive(rel_step_size=self.rel_step_size)

    @property
    def passes(self) -> tuple[int, int]:
        return self.restarts * (self.steps + 1), self.restarts * self.steps

    def _start(self, images: Images, threat: ThreatModel, generator: torch.Generator) -> Images:
        if not self.random_start:
            return images
        # drawn on the CPU, so that every device starts from the same point
        if threat.norm == "linf":
            noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
        else:
            noise = steepest(torch.randn(images.shape, generator=generator).to(images), "l2")
            noise *= torch.rand(len(images), generator=generator).to(images).view(-1, 1, 1, 1)
        return project(images, images + threat.epsilon * noise, threat)

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        step = threat.epsilon * (2.5 / self.steps if self.rel_step_size is None else self.rel_step_size)
        lowest = Lowest(images)
        for _ in range(self.restarts):
            current = self._start(images, threat, generator)
            for _ in range(self.steps):
                margin, gradient = margin_and_gradient(model, current, labels)
                if current is not images:  # the clean image is no attempt
                    lowest.keep(current, margin)
                current = project(images, current - step * steepest(gradient, threat.norm), threat)
            with torch.no_grad():
                lowest.keep(current, label_margin(model(current), labels))
        return lowest.images
