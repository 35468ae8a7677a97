"""Accuracy on one kind of radiograph beside another, on rows whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fracbench import stats, subgroups
from fracbench.text import checked
from sklearn.metrics import roc_auc_score


def radiographs(n: int = 60) -> pd.DataFrame:
    """Fractured and normal in turn; hands, legs and one of nothing; fractures of 1 to n/2 pixels of 100."""
    rows = [
        {
            "image": f"i{i:02d}", "label": i % 2, "group": f"g{i // 2}", "annotated": True,
            "mask_area": (i // 2 + 1) * (i % 2), "content": 100,
            "metadata": json.dumps({"part": ("hand", "leg")[i // 2 % 2], "metal": i < 20} if i else {"metal": None}),
        }
        for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("image")


def test_each_value_is_scored_by_itself() -> None:
    images = radiographs()
    hand = np.array([json.loads(text).get("part") == "hand" for text in images.metadata])
    clean = pd.Series(hand, images.index)
    margin = pd.Series(np.where(hand, images.label, 1 - images.label) * 2.0 - 1, images.index)
    found = {
        (of["fact"], of["value"]): of
        for of in subgroups.table(images, margin, clean, clean & False, ["part", "metal", "nothing"])
    }
    names = [("part", "hand"), ("part", "leg"), ("part", "not stated"), ("metal", "yes"), ("metal", "no")]
    names += [("metal", "not stated"), ("nothing", "not stated")]
    assert set(names) <= set(found) and len(found) == len(names) + 3
    assert found["part", "hand"]["clean"]["value"] == 1 and found["part", "leg"]["clean"]["value"] == 0
    assert found["part", "hand"]["auroc"]["value"] == 1 and found["part", "leg"]["auroc"]["value"] == 0
    assert found["part", "hand"]["robust"]["value"] == 0
    assert (found["part", "hand"]["fractured"], found["part", "hand"]["normal"]) == (15, 14)
    assert found["metal", "yes"]["fractured"] + found["metal", "yes"]["normal"] == 19
    assert np.isnan(found["part", "not stated"]["clean"]["value"]), "one class alone has no balanced accuracy"
    assert found["nothing", "not stated"]["fractured"] == 30


def test_thirds_by_size_of_the_fracture_stand_against_all_normal_images() -> None:
    images = radiographs()
    clean = images.label.eq(0) | (images.mask_area > 20)
    found = subgroups.table(images, images.label - 0.5, clean, clean, [])
    assert [(of["fact"], of["fractured"], of["normal"]) for of in found] == [("lesion_size", 10, 30)] * 3
    assert [of["clean"]["value"] for of in found] == [0.5, 0.5, 1.0]
    assert found[0]["value"] == "1.00% to 10.00% of the image"
    assert subgroups.table(images[:28], images.label[:28] - 0.5, clean[:28], clean[:28], []) == [], "too few"
    images.loc[images.label == 1, "annotated"] = False
    assert subgroups.table(images, images.label - 0.5, clean, clean, []) == []


def test_fractures_of_one_size_are_never_told_apart() -> None:
    images = radiographs()
    for sizes, counts in (([5] * 30, [30]), ([5] * 25 + [9] * 5, [25, 5]), ([5] * 15 + [6] * 15, [15, 15])):
        images.loc[images.label == 1, "mask_area"] = sizes
        found = subgroups.table(images, images.label - 0.5, images.label == 1, images.label == 1, [])
        assert [of["fractured"] for of in found] == counts


def test_facts_of_strangers_are_lines_that_a_board_shows() -> None:
    images = radiographs()
    odd = ["-", "=1+1", "a\u202eb", "x" * 5000, " hand ", "\n", "Ωmega", 3, 0.5, False]
    images["metadata"] = [json.dumps({"body part": odd[i % len(odd)], "=id": i, "seen": i}) for i in range(len(images))]
    margin = images.label - 0.5
    found = subgroups.table(images, margin, images.label == 1, images.label == 1, "all")
    for of in found:
        assert checked(of["fact"]) and len(checked(of["value"])) <= 100
    facts = [of["fact"] for of in found if of["fact"] != "lesion_size"]
    assert set(facts) == {"body part"} and len(facts) == 9, "two of the values are empty; facts of many values are out"
    found = subgroups.table(images, margin, images.label == 1, images.label == 1, ["seen"])
    assert [of["value"] for of in found if of["fact"] == "seen"].count("other") == 1
    assert sum(of["fact"] == "seen" for of in found) == subgroups.MOST_VALUES
    json.dumps(found)


def test_the_interval_of_an_auroc_is_the_bootstrap_over_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 90)
    scores = np.round(rng.normal(labels * 0.8, 1), 1)  # with ties
    groups = rng.integers(0, 30, 90)
    counts, index = stats.resample(groups, draws=300)
    drawn = []
    for count in counts:
        weights = count[index]
        drawn.append(roc_auc_score(labels, scores, sample_weight=weights))
    monkeypatch.setattr(stats, "resample", lambda *_: (counts, index))
    found = stats.auroc_interval(scores, labels, groups)
    assert found["value"] == pytest.approx(roc_auc_score(labels, scores)) and found["n"] == 90
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-5)


def test_no_interval_where_a_bootstrap_would_have_no_width() -> None:
    labels = np.repeat([0, 1], 10)
    groups = np.arange(20)
    for scores, of in ((labels, groups), (np.sin(np.arange(20)), np.repeat(np.arange(4), 5))):
        found = stats.auroc_interval(scores, labels, of)
        assert np.isnan(found["low"]) and np.isnan(found["high"]) and np.isfinite(found["value"])
    assert np.isnan(stats.auroc_interval([1.0], [1], ["a"])["value"])
