"""Random baseline: uniform noise, what an explainer that knows nothing scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._seeding import seeds_of


@dataclass(frozen=True)
class RandomMap:
    """Uniform noise seeded by the image's bytes, so that an image has one map in every batch."""

    seed: int = 0

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        noise = [np.random.default_rng(of).random(images.shape[2:]) for of in seeds_of(images, self.seed)]
        return torch.from_numpy(np.stack(noise)).to(images)
