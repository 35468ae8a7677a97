"""A small made dataset, a spec and explainers whose scores are known; registered for this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from fracbench import registry
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.contracts import Radiograph, Sample

# of a run whose training data has nothing to do with its images
APART = {"such_images": False, "by": "names", "images": None, "badge": ""}
# what a run records of the bright world beside its numbers
FIELDS = {
    "submission": "bright",
    "title": "Bright",
    "authors": ["a"],
    "control": False,
    "training": {"data": "none", "recipe": None, "threat": None},
    "model": {"name": "linear"},
    "reported": {},
    "overlap": APART,
}
ENV = {"device": "cpu", "device_name": "x", "threads": 2}


@dataclass(frozen=True)
class Blobs:
    """Fractured images have a bright square whose mask is exact; ids f00, n00, ..."""

    root: None = None
    n: int = 8
    side: int = 32

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def samples(self, split: str) -> list[Sample]:
        rows = [Sample(f"{kind}{i:02d}", int(kind == "f"), f"{kind}{i:02d}") for i in range(self.n) for kind in "fn"]
        return rows

    def read(self, sample: Sample) -> Radiograph:
        rng = np.random.default_rng([ord(c) for c in sample.id])
        image = (0.3 + 0.1 * rng.random((self.side, self.side))).astype(np.float32)
        instances = np.zeros((sample.label, self.side, self.side), bool)
        if sample.label:
            row, column = rng.integers(2, self.side - 10, 2)
            instances[0, row : row + 7, column : column + 6] = True
            image[instances[0]] += 0.3
        return Radiograph(image, instances)

    def fingerprint(self, split: str) -> str:
        return f"blobs-{self.n}-{self.side}"


class Bright(torch.nn.Module):
    """Answers "fracture" where a square of the image is bright: right on blobs, and smooth."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 5, padding=2, bias=False), torch.nn.ReLU())
        with torch.no_grad():
            self.features[0].weight.copy_(torch.full((2, 1, 5, 5), 1 / 25))
            self.features[0].weight[1] *= -1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        z = 20 * (torch.logsumexp(20 * (self.features(images)[:, 0] - 0.1).flatten(1), 1) / 20 - 0.65)
        return torch.stack([-z / 2, z / 2], 1)


@dataclass(frozen=True)
class Oracle:
    """Returns the blobs' masks: it reads them off the image."""

    sign: ClassVar[str] = "positive"
    passes: ClassVar[tuple[int, int]] = (0, 0)

    def __call__(self, margin_model: Any, images: torch.Tensor) -> torch.Tensor:
        return (images[:, 0] > 0.52).float()


@dataclass(frozen=True)
class Broken:
    """An attack or explainer that fails."""

    sign: ClassVar[str] = "positive"
    passes: ClassVar[tuple[int, int]] = (0, 0)

    def __call__(self, *_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError("this plugin is broken on purpose")


@contextmanager
def registered(**plugins: tuple[str, Any]) -> Iterator[None]:
    """Register ``name=(kind, factory)`` for a while."""
    for name, (kind, factory) in plugins.items():
        registry.register(kind, name)(factory)
    try:
        yield
    finally:
        for name, (kind, _) in plugins.items():
            registry.unregister(kind, name)


def spec(**changes: Any) -> BenchmarkSpec:
    """Two attacks and three rungs on 8 + 8 blobs in logical batches of 8."""
    content: dict[str, Any] = {
        "name": "blobs-v1",
        "title": "Blobs",
        "dataset": {"name": "blobs"},
        "image_size": 32,
        "threat": {
            "norm": "linf",
            "epsilon": "4/255",
            "ladder": {
                "epsilons": ["2/255", "4/255", "30/255"],
                "attack": {"name": "apgd-margin", "params": {"steps": 3}},
            },
        },
        "attacks": [
            {"name": "fgsm"},
            {"name": "autoattack", "params": {
                "apgd_ce_steps": 3, "apgd_margin_steps": 3, "fab_steps": 3, "square_queries": 10}},
        ],
        "adaptive": {"name": "adaptive", "params": {"steps": 4, "restarts": 1, "samples": 2, "directions": 4}},
        "explainers": [{"name": "oracle"}, {"name": "saliency"}, {"name": "gradcam"}, {"name": "random"},
                       {"name": "centre"}],
        "panel": ["oracle"],
        "metrics": ["pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy",
                    "attribution_localisation", "top_k_intersection", "auc"],
        "logical_batch": 8,
    }  # fmt: skip
    return BenchmarkSpec.model_validate(content | changes)
