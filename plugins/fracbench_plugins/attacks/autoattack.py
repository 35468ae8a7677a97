"""``aa-binary-v1``: AutoAttack's idea (Croce and Hein 2020, arXiv 2003.01690) for two classes.

It is not "AutoAttack standard": the DLR loss and the nine targets of the standard version need more
classes than there are. Four diverse parts, worst case per image: APGD on cross-entropy, APGD on the
margin, FAB and Square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from fracbench.contracts import Attack, Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels
from fracbench.threat import project

from fracbench_plugins.attacks._gradients import Lowest
from fracbench_plugins.attacks.apgd import APGDCE, APGDMargin
from fracbench_plugins.attacks.fab import FAB
from fracbench_plugins.attacks.square import Square


@dataclass(frozen=True)
class AABinary:
    """The binary ensemble; called directly, every part attempts all images."""

    apgd_ce_steps: int = 100
    apgd_margin_steps: int = 100
    fab_steps: int = 100
    square_queries: int = 5000
    version: str = "aa-binary-v1"

    def __post_init__(self) -> None:
        if self.version != "aa-binary-v1":
            raise ValueError(f"there is no version '{self.version}'; write aa-binary-v1")
        _ = self.parts  # a bad budget shows now, not in mid-run

    @property
    def parts(self) -> Mapping[str, Attack]:
        return {
            "apgd-ce": APGDCE(steps=self.apgd_ce_steps),
            "apgd-margin": APGDMargin(steps=self.apgd_margin_steps),
            "fab": FAB(steps=self.fab_steps),
            "square": Square(queries=self.square_queries),
        }

    @property
    def passes(self) -> tuple[int, int]:
        costs = [part.passes for part in self.parts.values()]
        return sum(forward for forward, _ in costs), sum(backward for _, backward in costs)

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        lowest = Lowest(images)
        for part in self.parts.values():
            attempts = project(images, part(model, images, labels, threat, generator=generator), threat)
            with torch.no_grad():
                lowest.keep(attempts, label_margin(model(attempts), labels))
        return lowest.images
