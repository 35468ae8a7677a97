"""The study in worlds where the answer is known: which models are twins, what changes, and what is said of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fracbench import specs
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.study.answer import answer
from fracbench.study.effects import together
from fracbench.study.page import page
from fracbench.study.studied import Studied
from fracbench.study.twins import pairs, series
from fracbench.study.words import sentences
from fracbench_leaderboard.study_figures import across_chart, dose_chart, pairs_chart
from markdown import markdown

SPEC = specs.load("phantom-v1")
PANEL, METRIC = SPEC.panel, "relevance_rank_accuracy"
IMAGES = [f"image-{i}" for i in range(40)]
EXPLAINERS = [ref.name for ref in SPEC.explainers]
ATTACKS = ["clean", *(ref.name for ref in SPEC.attacks)]


def model(
    name: str, recipe: str = "standard", threat: str | None = None, seed: int | None = 0, level: float = 0.3,
    architecture: str = "resnet18", robust: float = 0.1, control: bool = False, **row: Any,
) -> Studied:  # fmt: skip
    """A model whose maps score ``level`` on average, apart from what each image brings and a little noise."""
    rng = np.random.default_rng(sum(map(ord, name)))
    own = np.random.default_rng(1).uniform(-0.1, 0.1, len(IMAGES))  # the same for all models
    lines = [
        {"image": image, "attack": attack, "explainer": explainer,
         **{metric: level + of + rng.normal(0, 0.01) for metric in SPEC.metrics}}
        for attack, explainer in itertools.product(ATTACKS, EXPLAINERS) for image, of in zip(IMAGES, own, strict=True)
    ]  # fmt: skip
    images = pd.DataFrame(
        {"label": 1, "annotated": True, "group": IMAGES, "mask_area": np.arange(1, 41), "content": 1000}, index=IMAGES
    ).rename_axis("image")
    summary = {
        "submission": name, "control": control, "ranked": not control, "path": f"results/{name}/phantom-v1",
        "architecture": architecture, "parameters": 1000,
        "training": {"data": "phantom", "splits": ["train"], "recipe": recipe, "threat": threat, "seed": seed},
        "clean": {"balanced_accuracy": {"value": 0.9}}, "robust": {"balanced_accuracy": {"value": robust}},
        "attacks": {of: {"robust_balanced_accuracy": robust} for of in ATTACKS[1:]}, "curve_area": robust,
        "calibrated_alignment": {"value": level},
    }  # fmt: skip
    registered = SPEC.study.model_dump(mode="json") if SPEC.study else None
    return Studied(summary | row, {"name": "timm", "params": {"architecture": architecture}}, registered, images,
                   pd.DataFrame(lines))  # fmt: skip


def twins(change: float, architectures: int = 6, seeds: int = 1) -> list[Studied]:
    """Standard models and adversarial ones whose maps score ``change`` more."""
    return [
        of
        for place, seed in itertools.product(range(architectures), range(seeds))
        for of in (
            model(f"standard-{place}-{seed}", seed=seed, architecture=f"net{place}", level=0.3 + place / 50),
            model(
                f"robust-{place}-{seed}", "pgd-at", "linf 0.5/255", seed, 0.3 + place / 50 + change, f"net{place}", 0.6
            ),
        )
    ]


def plan(spec: BenchmarkSpec = SPEC) -> Any:
    assert spec.study is not None
    return spec.study


def test_twins_are_alike_in_network_data_and_seed() -> None:
    models = twins(0.1, architectures=2, seeds=2)
    found, unclear = pairs(models, plan())
    assert [(of.standard.name, of.adversarial.name) for of in found] == [
        (f"standard-{place}-{seed}", f"robust-{place}-{seed}") for place in range(2) for seed in range(2)
    ] and not unclear  # fmt: skip
    others = [model("other-seed", "pgd-at", "linf 0.5/255", 9), model("no-seed", "pgd-at", "linf 0.5/255", None),
              model("other-data", "pgd-at", "linf 0.5/255", training={"data": "x", "splits": [], "recipe": "pgd-at",
                                                                      "threat": "linf 0.5/255", "seed": 0}),
              model("no-threat", "pgd-at", "none")]  # fmt: skip
    assert pairs([model("standard"), *others], plan()) == ([], [])


def test_the_plan_says_which_of_several_are_twins_and_what_is_unclear_is_told() -> None:
    others = [model("masks", "mask-supervision"), model("trades", "trades", "l2 3/255")]
    assert pairs(others, plan()) == ([], []), "other recipes are no twins"
    many = [model("standard"), model("longer", "standard-longer"), model("masks", "mask-supervision"),
            model("half", "pgd-at", "linf 0.25/255"), model("right", "pgd-at", "Linf  1/510"),
            model("trades", "trades", "linf 0.5/255")]  # fmt: skip
    ((found,), unclear) = pairs(many, plan())
    assert (found.standard.name, found.adversarial.name) == ("standard", "right") and not unclear
    two = [of for of in many if of.name != "right"] + [model("double", "pgd-at", "Linf 1/255")]
    assert pairs(two, plan()) == ([], []), "at another epsilon than the recipe's it is a step of a series"
    none, (told,) = pairs([*many, model("again", "pgd-at", "linf 0.5/255")], plan())
    assert not none and "right, again" in told
    real = specs.load("fracatlas-lite-v1").study
    assert real is not None
    three = [model("plain", "fracatlas-standard"), model("registered", "fracatlas-pgd-at", "linf 0.25/255"),
             model("stronger", "fracatlas-pgd-at", "linf 1/255")]  # fmt: skip
    ((found,), unclear) = pairs(three, real)
    assert found.adversarial.name == "registered" and not unclear, "not the one at the benchmark's own epsilon"
    ((steps,)) = series(many, plan(), "linf")
    assert [(round(255 * dose, 2), of.name) for dose, of in steps] == [(0, "standard"), (0.25, "half"), (0.5, "right")]


def test_a_change_that_is_there_is_found_and_one_that_is_not_is_not_claimed() -> None:
    there, absent = (answer(SPEC, twins(change)) for change in (0.1, 0.0))
    assert there["primary"]["value"] == pytest.approx(0.1, abs=0.005) and there["primary"]["p"] == 2 / 2**6
    assert (
        "look at the fracture more" in sentences(there)[0]
        and "6 training pairs of 6 architectures" in sentences(there)[0]
    )
    assert absent["primary"]["p"] > 0.05 and "No change" in sentences(absent)[0] and "ruled out" in sentences(absent)[0]
    assert "look at the fracture less" in sentences(answer(SPEC, twins(-0.1)))[0]
    assert all(of["holm"] >= of["p"] for of in there["by_explainer"].values())
    assert not {"random", "centre", "edges"} & set(there["by_explainer"]) and set(there["blind"]) == {
        "random",
        "centre",
        "edges",
    }
    assert set(there["by_lesion_size"]) == {"small", "middle", "large"}


def test_a_change_between_maps_that_find_nothing_is_told_as_such() -> None:
    found = answer(SPEC, twins(0.0))
    assert "centre" in found["blind"] and found["primary"]["pairs"] == 6
    found["blind"] = {"centre": {"raw": 0.25, "models": 12}, "edges": {"raw": 0.1, "models": 12},
                      "randomised": {"raw": 1.0, "models": 12}}  # fmt: skip
    raw = [of["raw"]["standard"] for of in found["primary"]["each"]]
    said = sentences(found)[-1]
    assert "centre, which looks at no model, 0.250, standard twins" in said and f"twins {np.mean(raw):.3f}" in said


def test_pairs_that_had_been_seen_are_left_out_beside_the_primary() -> None:
    found = answer(SPEC, twins(0.1, architectures=2, seeds=3))
    assert [of["seed"] for of in found["unseen"]["each"]] == [1, 2, 1, 2] and found["primary"]["pairs"] == 6
    assert "without seed 0, of which pairs had been seen" in page(found, "x") and "Every pair is" not in page(
        found, "x"
    )


def test_few_pairs_are_said_to_test_nothing() -> None:
    three = answer(SPEC, twins(0.1, architectures=3))
    assert three["primary"]["least_p"] == 0.25 and "cannot be below 0.250" in sentences(three)[0]
    alone = sentences(answer(SPEC, [model("alone")]))
    assert "has not been tested" in alone[0] and "1 model for the founding protocol: too few" in alone[2]


def test_a_pair_without_all_maps_counts_for_nothing_and_is_no_number() -> None:
    models = twins(0.1)
    models[0] = replace(models[0], maps=models[0].maps[models[0].maps.explainer != "gradcam"])
    found = answer(SPEC, models)
    assert found["primary"]["pairs"] == 5 and found["by_architecture"]["families"] == 5
    text = page(found, "x")
    assert "nan" not in text and "40 images each" in sentences(found)[0] and "0 to" not in sentences(found)[0]
    none = answer(SPEC, [replace(of, maps=of.maps[of.maps.explainer != "gradcam"]) for of in twins(0.1)])
    assert "has not been tested" in sentences(none)[0] and "nan" not in page(none, "x")


def test_pairs_that_differ_in_seed_alone_are_also_shown_as_one_architecture() -> None:
    found = answer(SPEC, twins(0.1, architectures=2, seeds=3))
    assert found["primary"]["pairs"] == 6 and found["primary"]["p"] <= 0.05
    assert found["by_architecture"]["pairs"] == 2 and found["by_architecture"]["p"] == 0.5
    assert "In these architectures" in sentences(found)[0]


def test_each_protocol_differs_from_the_one_before_in_one_thing() -> None:
    steps = answer(SPEC, twins(0.1))["across"]
    words = [(of["robustness"], of["alignment"]) for of in steps]
    assert [sum(a != b for a, b in zip(*two, strict=True)) for two in itertools.pairwise(words[:-2])] == [1] * 5
    assert steps[0]["change"] == "the founding protocol" and steps[-3]["change"] == "calibrated: ours"
    assert words[-3] == words[-2] and steps[-2]["change"] == "ours, every model"
    assert len(steps[-2]["points"]) == 12


def test_protocols_are_compared_on_the_same_models() -> None:
    models = twins(0.1)
    models[0] = replace(models[0], maps=models[0].maps[models[0].maps.explainer != "deeplift"])
    found = answer(SPEC, models)
    steps = {of["change"]: of for of in found["across"]}
    assert [of["n"] for of in steps.values()] == [11] * 6 + [12] * 2
    assert models[0].name not in {of["name"] for of in steps["calibrated: ours"]["points"]}
    assert any("the 11 models that have its maps and ours" in line for line in sentences(found))
    assert any("n = 12 models" in line for line in sentences(found))


def test_controls_stand_beside_the_standard_model_and_not_among_entries() -> None:
    cheater = model("cheater", "cheater", level=0.1, control=True)
    masks = model("masks", "mask-supervision", level=0.5)
    found = answer(SPEC, [*twins(0.0, 1), model("standard"), cheater, masks])
    changes = {of["name"]: of["value"] for of in found["beside"]}
    assert changes == {"cheater": pytest.approx(-0.2, abs=0.01), "masks": pytest.approx(0.2, abs=0.01)}
    assert "cheater" not in {of["name"] for of in found["entries"]}


def test_a_change_is_told_again_with_other_trainings_in_place_of_the_standard_ones() -> None:
    def longer(place: int, recipe: str = "standard-longer", **facts: Any) -> Studied:
        seen = {"architecture": f"net{place}", "level": 0.35 + place / 50, **facts}
        return model(f"{recipe}-{place}", recipe, **seen)

    models = [*twins(0.1), *(longer(place) for place in range(3)), longer(0, "corruptions")]
    for place in (0, 1):
        models += [longer(place, "mask-supervision"), longer(place, "cheater", control=True),
                   longer(place, "gradient-penalty", threat="l2 1"),
                   longer(place, "pgd-at"), longer(place, "<b>any words</b>")]  # fmt: skip
    found = answer(SPEC, models)
    assert list(found["against"]) == ["standard-longer"], "none of one model, masks, attacks, others' words"
    told = found["against"]["standard-longer"]
    assert set(told) == {"clean", *(f"under {name}" for name in ATTACKS[1:])}
    assert all(of["pairs"] == 3 for of in told.values())
    assert told["clean"]["value"] == pytest.approx(0.05, abs=0.01), "a tenth to the standard ones, half to these"
    assert found["primary"]["value"] == pytest.approx(0.1, abs=0.01)
    assert told["clean"]["usual"]["pairs"] == 3 and told["clean"]["usual"]["value"] == pytest.approx(0.1, abs=0.01)
    assert any("with standard-longer in place of the standard twin (3 training pairs of 3 architectures)" in line
               and "where no p is below 0.250" in line for line in sentences(found))  # fmt: skip
    text = page(found, "x")
    assert "standard-longer in place of standard, under" in text
    assert "Student's t, 95 %" in text and "{" not in text
    there = answer(SPEC, models, {"test-shift-site": models})
    assert there["against"]["standard-longer"]["on test-shift-site"]["value"] == told["clean"]["value"]
    lines = [f"longer-{place}" for place in range(2)]
    several = [*models, *(model(name, "standard-longer", architecture="net0") for name in lines)]
    there = answer(SPEC, models, {"test-shift-site": several})
    assert there["against"]["standard-longer"]["on test-shift-site"]["pairs"] == 2 and not there["unclear"]


def test_of_several_trainings_alike_beside_one_twin_none_is_picked() -> None:
    several = [model(f"longer-{i}", "standard-longer", architecture="net0") for i in range(3)]
    found = answer(SPEC, [*twins(0.1), *several])
    assert not found["against"], "one twin is no two pairs"
    assert found["unclear"] == [
        "longer-0, longer-1, longer-2: all standard-longer; which stands for the standard twin of robust-0-0 is not to "
        "be told"
    ]
    others = [model(f"other-{i}", "standard-longer", architecture=f"net{i}") for i in (1, 2)]
    assert answer(SPEC, [*twins(0.1), *several, *others])["against"]["standard-longer"]["clean"]["pairs"] == 2


def test_trainings_without_maps_are_told_of_in_no_sentence() -> None:
    mute = [model(f"longer-{i}", "standard-longer", architecture=f"net{i}") for i in (0, 1)]
    empty = [replace(of, maps=of.maps[of.maps.attack != "clean"]) for of in mute]
    assert answer(SPEC, [*twins(0.1), *mute])["against"] and not answer(SPEC, [*twins(0.1), *empty])["against"]


def test_pairs_that_change_alike_leave_no_half_sentence() -> None:
    found = answer(SPEC, twins(0.0))
    found["primary"] = together([0.0] * 6, list("abcdef")) | {"each": found["primary"]["each"]}
    said = sentences(found)[0]
    assert found["primary"]["least_p"] == 1 and "Of 6 training pairs, of which 0 changed, p cannot be below" in said
    found["primary"] |= together([0.1, -0.1] * 3, list("abcdef")) | {"detectable": np.nan, "high": 0.2}
    assert "pairs are too alike to say which change could have been found." in sentences(found)[0]
    rounded = together([0.3 - 0.2, 0.1, 0.4 - 0.3, 0.5 - 0.4], list("abcd"))
    assert np.isnan(rounded["effect"]) and np.isnan(rounded["low"]), "rounding is no scatter"


def test_models_that_are_alike_by_one_protocol_are_not_said_to_be_few() -> None:
    models = [model(f"m{i}", architecture=f"net{i}", level=0.3 + i / 50) for i in range(6)]
    for i, of in enumerate(models):
        of.row["clean"]["balanced_accuracy"]["value"] = 0.7 + i / 50  # type: ignore[index]
    said = next(line for line in sentences(answer(SPEC, models)) if "founding" in line)
    assert "nothing, since models are too alike, once it reads accuracy itself" in said


def test_words_of_a_submission_are_no_markup_of_the_page() -> None:
    rogue = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) `a | b"
    stranger = model("stranger", rogue, rogue)
    stranger = replace(stranger, row={**stranger.row, "path": "results/`x`/v1"})
    found = answer(SPEC, [*twins(0.1, 2), model("standard"), stranger], None, [f"other: {rogue}"])
    text = page(found, "x")
    assert "stranger" in text and "Left out: other" in text
    made = markdown(text, extensions=["tables"])
    assert "<img" not in made and "<a " not in made and rogue.split("`")[0] in unescape(made)
    lines = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| stranger")]
    assert sorted(line.count("|") for line in lines) == [10, 11], "tables keep their columns"


def test_a_page_and_figures_say_what_was_found() -> None:
    late = replace(model("late", architecture="late"), plan=None)
    models = [*twins(0.1), model("half", "pgd-at", "linf 0.25/255", architecture="net0"), late]
    found = answer(SPEC, models)
    text = page(found, "fracbench study")
    for words in (*sentences(found), "Registered", "## Dose", "late", "results/late/phantom-v1"):
        assert words in text, words
    assert "nan" not in text
    assert "under none or another: late" in text
    assert all(chart(found) is not None for chart in (pairs_chart, across_chart, dose_chart))
    empty = answer(SPEC, [])
    assert page(empty, "x") and all(chart(empty) is None for chart in (pairs_chart, across_chart, dose_chart))
