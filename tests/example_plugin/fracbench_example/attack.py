"""An attack: random corners of the ball, keeping the best one for each image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench.contracts import Model, label_margin
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels


@dataclass(frozen=True)
class Corners:
    """``queries`` random sign patterns of full size."""

    queries: int = 10

    norms: ClassVar[tuple[str, ...]] = ("linf",)  # in a benchmark of another norm it is refused before a run
    black_box: ClassVar[bool] = True  # uses no gradient

    @property
    def passes(self) -> tuple[int, int]:
        return self.queries, 0

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        best, lowest = images, torch.full((len(images),), torch.inf, device=images.device)
        for _ in range(self.queries):
            signs = torch.randint(2, images.shape, generator=generator).to(images) * 2 - 1
            tried = (images + threat.epsilon * signs).clamp(0, 1)
            with torch.no_grad():
                margin = label_margin(model(tried), labels)
            better = margin < lowest
            lowest = torch.where(better, margin, lowest)
            best = torch.where(better[:, None, None, None], tried, best)
        return best
