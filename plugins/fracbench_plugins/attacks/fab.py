"""Fast adaptive boundary attack (Croce and Hein 2020, arXiv 1907.02044), targeted at the other class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import project
from pyautoattack.fab_pt import FABAttack_PT

from fracbench_plugins.attacks._autoattack_parts import NORMS, attempt_all, draw_seed
from fracbench_plugins.attacks._fields import at_least_one
from fracbench_plugins.attacks._gradients import margin_and_gradient, steepest


@dataclass(frozen=True)
class FAB:
    """The nearest boundary point found, in the ball or not.

    Where no boundary was crossed at all, or the image is misclassified already, the attempt is one full
    step against the margin: FAB's own first linearisation, cut to the ball.
    """

    steps: int = 100

    minimal_norm: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)

    @property
    def passes(self) -> tuple[int, int]:
        return 2 * self.steps + 4, self.steps + 1

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        seed = draw_seed(generator)
        attack = FABAttack_PT(
            model, norm=NORMS[threat.norm], n_iter=self.steps, eps=threat.epsilon, seed=seed, targeted=True,
            n_target_classes=1, device=images.device,
        )  # fmt: skip
        attack.target_class = 2  # the second highest logit: with two classes, the other one

        def single_run(some: Images, their_labels: Labels) -> Images:
            boundary = attack.attack_single_run(some, their_labels, is_targeted=True)
            not_crossed = (boundary == some).flatten(1).all(1)
            attempts = boundary.clone()
            if not_crossed.any():
                rest, rest_labels = some[not_crossed], their_labels[not_crossed]
                _, gradient = margin_and_gradient(model, rest, rest_labels)
                step = rest - threat.epsilon * steepest(gradient, threat.norm)
                attempts[not_crossed] = project(rest, step, threat)
            return attempts

        return attempt_all(single_run, model, images, labels, seed)
