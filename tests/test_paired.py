"""Paired differences where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fracbench import paired
from fracbench.summary import summarise
from fracbench.ties import adjusted, headline, holm, p_values, per_group
from test_summary import run, tables


def contributions(values: np.ndarray, fractured: np.ndarray) -> dict[str, Any]:
    return {"groups": [f"g{i}" for i in range(len(values))], "fractured": fractured, "values": values}


def answers(fractured: float, normal: float, seed: int, n: int = 60) -> dict[str, Any]:
    """What an entry contributes that is right on these shares of n fractured and n normal images."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.random(n) < fractured, rng.random(n) < normal]).astype(float)
    return contributions(values, np.arange(2 * n) < n)


def entry(fractured: float, normal: float, seed: int, n: int = 60) -> Any:
    return per_group(answers(fractured, normal, seed, n))


def everything(of: Any) -> dict[str, Any]:
    ratio = of[0], of[1][:2]
    return {"headline": of, "clean": of, "robust": of, "alignment": ratio}


def test_an_entry_does_not_differ_from_itself_and_an_interval_that_no_draw_moves_is_none() -> None:
    one = everything(entry(0.7, 0.6, 0))
    for row in paired.differences({"one": one, "other": one}):
        assert (row["value"], row["p"], row["holm"]) == (0, 1, 1)
        assert np.isnan([row["low"], row["high"]]).all()


def test_a_large_difference_is_found_and_its_sign_is_the_first_less_the_second() -> None:
    strong, weak = everything(entry(0.9, 0.9, 0)), everything(entry(0.3, 0.3, 1))
    there, back = (paired.differences(pair) for pair in ({"a": strong, "b": weak}, {"b": weak, "a": strong}))
    for row, other in zip(there, back, strict=True):
        assert row["low"] > 0.2 and row["p"] < 0.001 and row["holm"] >= row["p"]
        assert row["value"] == pytest.approx(-other["value"]) and row["low"] == pytest.approx(-other["high"])


def test_values_and_p_are_those_of_the_scores_and_of_the_tie_groups() -> None:
    given = [answers(0.8, 0.7, 2), answers(0.65, 0.7, 3)]
    a, b = map(per_group, given)
    (row, *_) = paired.differences({"a": everything(a), "b": everything(b)})
    assert row["value"] == pytest.approx(float(headline(a[1].sum(1)) - headline(b[1].sum(1))))
    assert row["p"] == pytest.approx(p_values(given)[0, 1], abs=0.005)


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """Independent entries with true shares .8 and .6: of 60 intervals at 95 % nearly all hold the difference."""
    inside = 0
    for seed in range(60):
        a, b = everything(entry(0.8, 0.8, 2 * seed)), everything(entry(0.6, 0.6, 2 * seed + 1))
        row = next(of for of in paired.differences({"a": a, "b": b}) if of["score"] == "clean balanced accuracy")
        inside += row["low"] <= 0.2 <= row["high"]
    assert inside >= 53


def test_other_images_are_never_paired() -> None:
    a, b = entry(0.8, 0.7, 0, 20), entry(0.8, 0.7, 0, 30)
    fewer = a[0], a[1].copy()
    fewer[1][1, 0] += 1  # another fractured image in a group of the same name
    for other in (b, fewer):
        for row in paired.differences({"a": everything(a), "b": everything(other)}):
            if other is b or row["score"] != "calibrated alignment":
                assert np.isnan([row["value"], row["low"], row["p"], row["holm"]]).all()


def test_few_groups_have_no_interval() -> None:
    a, b = entry(1, 1, 0, 2), entry(0, 0, 0, 2)
    for row in paired.differences({"a": everything(a), "b": everything(b)}):
        assert row["value"] == 1 and np.isnan([row["low"], row["high"]]).all()


def test_an_alignment_of_other_maps_is_not_paired() -> None:
    made, record = tables(), run()
    row = summarise(record, made)
    whole = paired.sums_of(record, made, row)["alignment"]
    maps = made["alignment"]
    last = maps[(maps.attack == "clean") & maps.explainer.isin(record["panel"])].index[-1]
    lacking = paired.sums_of(record, made | {"alignment": maps.drop(last)}, row)["alignment"]
    assert len(whole[0]) and not len(lacking[0])


def test_sums_of_a_run_give_the_scores_of_its_summary() -> None:
    made, record = tables(), run()
    row = summarise(record, made)
    sums = paired.sums_of(record, made, row)
    known = {"headline": row["headline"], "clean": row["clean"]["balanced_accuracy"],
             "robust": row["robust"]["balanced_accuracy"], "alignment": row["calibrated_alignment"]}  # fmt: skip
    for name, (_, statistic) in paired.SCORES.items():
        assert float(statistic(sums[name][1].sum(1))) == pytest.approx(known[name]["value"]), name


def test_holm_is_as_he_wrote_it() -> None:
    given = [0.01, 0.04, 0.03, 0.005]
    assert adjusted(given) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(given) == [True, False, False, True] and adjusted([0.9, 0.8]) == [1.0, 1.0] and adjusted([]) == []
