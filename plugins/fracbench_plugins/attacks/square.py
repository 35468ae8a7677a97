"""Square Attack (Andriushchenko et al. 2020, arXiv 1912.00049): random search without gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from pyautoattack.square import SquareAttack

from fracbench_plugins.attacks._autoattack_parts import NORMS, attempt_all, draw_seed
from fracbench_plugins.attacks._fields import at_least_one, between


@dataclass(frozen=True)
class Square:
    """Keeps the best square so far for every image; the margin is its loss."""

    black_box: ClassVar[bool] = True

    queries: int = 5000
    p_init: float = 0.8

    def __post_init__(self) -> None:
        at_least_one(queries=self.queries)
        between(0.001, 1, p_init=self.p_init)

    @property
    def passes(self) -> tuple[int, int]:
        return self.queries + 2, 0

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        seed = draw_seed(generator)
        attack = SquareAttack(
            model, norm=NORMS[threat.norm], n_queries=self.queries, eps=threat.epsilon, p_init=self.p_init,
            seed=seed, device=images.device,
        )  # fmt: skip
        attack.init_hyperparam(images)

        def single_run(some: Images, their_labels: Labels) -> Images:
            return attack.attack_single_run(some, their_labels)[1]

        return attempt_all(single_run, model, images, labels, seed)
