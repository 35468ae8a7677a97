"""The starters are what they say: small, trained from their recipes, and ranked as they must be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from conftest import STARTERS
from fracbench import recipes, registry, specs
from fracbench.contracts import label_margin
from fracbench.data import choose, load
from fracbench.store import ResultFolder
from fracbench.submissions import discover, load_model

ENTRIES = discover(STARTERS, None)


def ids(entry: object) -> str:
    return entry.name  # type: ignore[attr-defined]


def test_there_are_a_twin_pair_and_a_control() -> None:
    threats = {entry.name: entry.submission.training.threat for entry in ENTRIES if not entry.submission.control}
    assert threats == {"phantom-resnet-standard": None, "phantom-resnet-pgd-at": "linf 2/255"}
    assert [entry.name for entry in ENTRIES if entry.submission.control] == ["always-fracture"]
    twins = [entry.submission.model for entry in ENTRIES if not entry.submission.control]
    assert twins[0] == twins[1], "the twins are one architecture"


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_a_starter_states_how_it_was_trained(entry) -> None:  # type: ignore[no-untyped-def]
    training = entry.submission.training
    record = json.loads((entry.folder / "training.json").read_text())
    recipe = recipes.load(training.recipe)
    assert record["recipe"] == recipe.model_dump(mode="json"), "trained from the recipe as it is shipped"
    assert recipe.model == entry.submission.model and recipe.submission == entry.name
    assert training.data == recipe.dataset.name and training.seed == record["seed"]
    assert training.seconds == record["seconds"] > 5 and len(record["epochs"]) == recipe.epochs
    assert (entry.folder / "weights.safetensors").stat().st_size < 5_000_000
    assert entry.submission.weights.sha256 is not None


def test_clean_accuracy_on_the_default_board() -> None:
    spec = specs.load("phantom-v1")
    dataset = registry.make("datasets", spec.dataset.name, spec.dataset.params)
    batch = load(dataset, choose(dataset.samples("test"), 64, 64, spec.seed), spec.image_size)
    accuracy = {}
    for entry in ENTRIES:
        with torch.no_grad():
            right = label_margin(load_model(entry, spec.image_size, "cpu", 64)(batch.images), batch.labels) > 0
        accuracy[entry.name] = [float(right[batch.labels == label].float().mean()) for label in (0, 1)]
    assert accuracy["always-fracture"] == [0, 1]
    assert sum(accuracy["phantom-resnet-standard"]) / 2 >= 0.8
    assert sum(accuracy["phantom-resnet-pgd-at"]) / 2 >= 0.8


def test_smoke_ranks_every_starter_with_both_factors(smoke: Path) -> None:
    for entry in ENTRIES:
        summary = ResultFolder(smoke / entry.name / "smoke", entry.name, "smoke").summary()
        assert summary is not None and summary["ranked"], entry.name
        for score in (summary["headline"], *summary["factors"].values()):
            assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
        assert all(score["n"] == 12 for score in summary["factors"].values())
        if entry.submission.control:
            assert summary["headline"]["value"] == 0
            assert summary["factors"]["robust_specificity"]["value"] == 0


@pytest.mark.parametrize("attack", ["pgd", "autoattack"])
def test_survivors_are_real_attempts(smoke: Path, attack: str) -> None:
    """Where a trained network holds, the attack has still brought its margin below that of the clean image."""
    name = "phantom-resnet-pgd-at"
    predictions = ResultFolder(smoke / name / "smoke", name, "smoke").table("predictions")
    rows = predictions[(predictions.part == "") & ~predictions.ladder].pivot(index="image", columns="attack")
    survivors = rows[rows["correct"][attack] & rows["correct"]["clean"]]
    assert len(survivors) >= 10
    assert (survivors["margin"][attack] < survivors["margin"]["clean"]).mean() >= 0.95


def test_the_control_has_gradients(smoke: Path) -> None:
    folder = ResultFolder(smoke / "always-fracture" / "smoke", "always-fracture", "smoke")
    predictions = folder.table("predictions")
    assert not predictions[predictions.attack == "clean"].zero_gradient.any()
    alignment = folder.table("alignment")
    assert not alignment[alignment.explainer == "saliency"].blank.any()
    assert not math.isnan(alignment.hit.mean())
