"""Fast gradient sign method (Goodfellow et al. 2015, arXiv 1412.6572)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import project

from fracbench_plugins.attacks._gradients import margin_and_gradient, steepest


@dataclass(frozen=True)
class FGSM:
    """One step of full size against the margin; for L2 the fast gradient method."""

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        _, gradient = margin_and_gradient(model, images, labels)
        return project(images, images - threat.epsilon * steepest(gradient, threat.norm), threat)
