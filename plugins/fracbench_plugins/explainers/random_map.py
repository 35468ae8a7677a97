"""Random baseline: uniform noise, what an explainer that knows nothing scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class RandomMap:
    """Uniform noise seeded by the image's bytes, so that an image has one map in every batch."""

    seed: int = 0

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        maps = []
        for image in images.detach().cpu().numpy():
            digest = hashlib.sha256(image.tobytes() + self.seed.to_bytes(8, "little", signed=True)).digest()
            noise = np.random.default_rng(int.from_bytes(digest[:8], "little")).random(image.shape[1:])
            maps.append(torch.from_numpy(noise.astype(np.float32)))
        return torch.stack(maps).to(images.device)
