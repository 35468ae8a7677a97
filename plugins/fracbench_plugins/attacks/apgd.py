"""Auto-PGD (Croce and Hein 2020, arXiv 2003.01690) on cross-entropy and on the margin.

The difference-of-logits ratio needs three classes; its numerator, the margin, is what remains for two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from pyautoattack.autopgd_base import APGDAttack

from fracbench_plugins.attacks._autoattack_parts import NORMS, attempt_all, draw_seed
from fracbench_plugins.attacks._fields import at_least_one, between


class MarginAPGD(APGDAttack):  # type: ignore[misc]  # pyautoattack has no types
    """pyautoattack's APGD whose ``dlr`` loss is max_other - z_y."""

    def dlr_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        others = x.scatter(1, y[:, None], -torch.inf).amax(1)
        return others - x.gather(1, y[:, None])[:, 0]


@dataclass(frozen=True)
class _APGD:
    steps: int = 100
    rho: float = 0.75

    loss: ClassVar[str]

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)
        between(0, 1, rho=self.rho)

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps + 2, self.steps + 1

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        seed = draw_seed(generator)
        attack = MarginAPGD(
            model, n_iter=self.steps, norm=NORMS[threat.norm], eps=threat.epsilon, rho=self.rho, seed=seed,
            loss=self.loss, device=images.device,
        )  # fmt: skip
        attack.init_hyperparam(images)

        def single_run(some: Images, their_labels: Labels) -> Images:
            # of two classes the highest loss, of either kind, is the lowest margin: misclassified where any iterate is
            return attack.attack_single_run(some, their_labels)[0]

        return attempt_all(single_run, model, images, labels, seed)


@dataclass(frozen=True)
class APGDCE(_APGD):
    """APGD on cross-entropy; blind where the logits are so large that the loss underflows."""

    loss: ClassVar[str] = "ce"


@dataclass(frozen=True)
class APGDMargin(_APGD):
    """APGD on the margin max_other - z_y; indifferent to the scale of the logits."""

    loss: ClassVar[str] = "dlr"
