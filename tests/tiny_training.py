"""A tiny network, recipes and batches on made images, for the tests of training and of its objectives."""

from __future__ import annotations

from pathlib import Path

import torch
from fracbench import registry, training
from fracbench.data import load
from fracbench.recipes import Architecture, Recipe
from fracbench.schema import ThreatModel
from fracbench.training.objectives import Step
from worlds import Blobs

NET = Architecture.model_validate({
    "title": "Tiny ResNet",
    "learning_rate": 0.004,
    "benchmarks": ["smoke"],
    "model": {"name": "timm", "params": {
        "architecture": "resnet18", "mean": 0.3, "std": 0.2,
        "options": {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1], "output_stride": 8}}},
})  # fmt: skip
LINF = {"norm": "linf", "epsilon": "2/255"}
CHANGES: dict[str, dict[str, object]] = {
    "standard": {"corruptions": True},
    "adversarial": {"threat": LINF, "clean_epochs": 1},
    "trades": {"threat": LINF, "weight": 6},
    "gradient-penalty": {},
    "mask-supervision": {},
    "mask-location": {},
}


def recipe(objective: str = "standard", **changes: object) -> Recipe:
    content = {
        "name": "tiny", "submission": "tiny", "title": "{architecture} on blobs",
        "dataset": {"name": "blobs", "params": {"n": 32}}, "image_size": 32, "benchmarks": ["smoke"],
        "epochs": 2, "batch_size": 16, "objective": objective,
    }  # fmt: skip
    return Recipe.model_validate(content | changes)


def trained(made: Recipe, out: Path, **options: object) -> bytes:
    path = training.train(made, NET, out, report=lambda _: None, **options)  # type: ignore[arg-type]
    return path.with_name("weights.safetensors").read_bytes()


def step(weight: float = 1.0, threat: ThreatModel | None = None) -> Step:
    dataset = Blobs(n=16)
    batch = load(dataset, dataset.samples("train"), 32)
    pgd = registry.make("attacks", "pgd", {"steps": 2})
    return Step(batch.images, batch.labels, batch.masks, threat, pgd, weight, torch.Generator().manual_seed(0))


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = registry.make("models", "timm", NET.model.params)
    return model.train()
