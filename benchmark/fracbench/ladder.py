"""Where on the ladder of epsilons does an image break? A bisection for each image, many images at a time.

It rests on the carry-over rule: what breaks at a rung breaks at every larger one, and what survives a rung survives the
smaller ones, since a smaller ball lies inside a larger one. So three rounds of an attack place an image on six rungs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fracbench.schema import with_rounding


def rounds(rungs: int, reference: int) -> int:
    """The most attacks an image meets: below and above the reference rung, whose outcome is known, one is bisected."""
    return max(math.ceil(math.log2(part + 1)) for part in (reference, rungs - 1 - reference))


class Brackets:
    """For each image the highest rung it is known to survive, -1 for none, and the lowest that breaks it, n for none.

    ``survived`` and ``broken`` are (batch,) int64; an image is placed where ``broken`` is ``survived`` + 1.
    """

    def __init__(self, epsilons: Sequence[float], correct: Tensor) -> None:
        """``correct`` (batch,) bool: on the clean image; what is wrong there is broken at every rung."""
        self.reach = torch.tensor([with_rounding(epsilon) for epsilon in epsilons], dtype=torch.float64)
        self.survived = torch.full((len(correct),), -1)
        self.broken = torch.where(correct.cpu(), len(epsilons), 0)

    def survives(self, which: Tensor, rung: int) -> None:
        """``which`` (batch,) bool survive ``rung``; an image known to break there stays broken."""
        self.survived = torch.where(which, self.survived.clamp_min(rung), self.survived).minimum(self.broken - 1)

    def breaks(self, which: Tensor, rung: int) -> None:
        """``which`` (batch,) bool break at ``rung``."""
        self.broken = torch.where(which, self.broken.clamp_max(rung), self.broken)
        self.survived = self.survived.minimum(self.broken - 1)

    def breaks_from(self, distances: Tensor) -> None:
        """An adversarial image is known at this distance, (batch,), infinite for none: it lies in every larger ball."""
        reached = self.reach[None] >= distances.cpu().double()[:, None]
        for rung in range(len(self.reach)):
            self.breaks(reached[:, rung], rung)

    def place(self, robust_at: Callable[[int, Tensor], Tensor]) -> None:
        """Bisect until all are placed; ``robust_at(rung, indices)`` attacks these images, (n,) bool."""
        while (open_ := self.broken - self.survived > 1).any():
            middle = (self.survived + self.broken) // 2
            for rung in middle[open_].unique().tolist():
                which = open_ & (middle == rung)
                robust = torch.zeros_like(which)
                robust[which] = robust_at(rung, which.nonzero()[:, 0]).cpu()
                self.survives(robust, rung)
                self.breaks(which & ~robust, rung)
