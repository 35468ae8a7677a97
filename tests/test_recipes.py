"""Recipes and architectures as they ship: names, benchmarks, epsilons."""

from __future__ import annotations

import pytest
from fracbench import recipes, registry
from fracbench.contracts import InputError
from fracbench.training.objectives import OBJECTIVES


def test_every_recipe_and_architecture_can_be_read() -> None:
    for name in recipes.names():
        found = recipes.load(name)
        assert found.name == name and OBJECTIVES[found.objective]
        assert found.start is None or found.start in recipes.names()
    small = ("resnet", "convnext", "coatnet", "mobilenet")
    assert set(recipes.architectures()) == {*small, "efficientnet-lite0"}
    for name in recipes.architectures():
        model = registry.make("models", "timm", recipes.architecture(name).model.params)
        size = sum(value.numel() for value in model.state_dict().values()) * 4
        assert size < (5_000_000 if name in small else 15_000_000), name
    with pytest.raises(InputError, match="Did you mean 'resnet'"):
        recipes.architecture("resnat")
    standard = recipes.load("standard")
    assert standard.submission_name("coatnet", 0) == "phantom-coatnet-standard"
    assert standard.submission_name("coatnet", 2) == "phantom-coatnet-standard-seed2"


def test_a_recipe_at_another_epsilon_is_named_after_it() -> None:
    recipe = recipes.load("pgd-at")
    other = recipe.at_epsilon("1/255")
    assert other.threat is not None and other.threat.epsilon == "1/255" and other.decisive() != recipe.decisive()
    assert other.submission_name("resnet", 2) == "phantom-resnet-pgd-at-epsilon-1-255-seed2"
    assert other.entered(recipes.architecture("resnet"), 0) == ["phantom-full-v1"]
    assert recipe.at_epsilon("0.50/255") is recipe, "the same one, written otherwise"
    for wrong, message in (("4", "did you mean 4/255"), ("200/255", "lets every image become grey")):
        with pytest.raises(InputError, match=message):
            recipe.at_epsilon(wrong)
    with pytest.raises(InputError, match="leave --epsilon out, or use fracatlas-pgd-at, pgd-at, trades"):
        recipes.load("standard").at_epsilon("1/255")


def test_other_seeds_enter_the_full_benchmark_only_and_one_architecture_the_smoke_test() -> None:
    standard, (resnet, coatnet) = recipes.load("standard"), map(recipes.architecture, ("resnet", "coatnet"))
    assert standard.entered(resnet, standard.seed) == ["phantom-v1", "phantom-full-v1", "smoke"]
    assert standard.entered(coatnet, standard.seed) == ["phantom-v1", "phantom-full-v1"]
    for name in recipes.names():
        on_phantom = recipes.load(name).dataset.name == "phantom"
        assert recipes.load(name).entered(resnet, 1) == (["phantom-full-v1"] if on_phantom else ["fracatlas-v1"]), name
