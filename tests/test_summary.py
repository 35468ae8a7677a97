"""Scores from made rows whose answer can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fracbench.robust_scores import curve_area
from fracbench.summary import aligned_hits, rank, strongest_attack, summarise
from fracbench.ties import headline, per_group
from worlds import APART

ATTACKS = ["fgsm", "autoattack"]
METRICS = ["relevance_rank_accuracy"]


def run(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **{"submission": "a", "title": "A", "authors": ["x"], "control": False},
        "training": {"data": "phantom", "recipe": "cross-entropy", "threat": None},
        "model": {"name": "timm", "params": {"architecture": "resnet18"}},
        "overlap": {**APART, "such_images": True},
        **{"spec": "s", "spec_hash": "h", "dataset": "phantom", "fingerprint": "f", "split": "test", "custom": False},
        **{"metrics_backend": "fracbench"},
        **{"threat": "linf", "epsilon": "2/255", "ladder": ["1/255", "2/255"], "attacks": ATTACKS},
        **{"explainers": ["cam", "saliency", "random"], "panel": ["cam", "saliency"], "metrics": METRICS},
        **{"seconds": 1.0, "passes": {"forward": 2, "backward": 1}, "device": "cpu", "cells": []},
        **{"random": False, "black_box": ["square"], "finished": "2026-01-02T03:04:05+00:00", "reported": {}},
        **{
            "resolved_spec": {
                "note": "",
                "split": "test",
                "corruptions": None,
                "explanation_attack": None,
                "subgroups": ["side"],
            },
            "further_threats": [],
        },
    }
    return fields | changes


def tables(n: int = 20, robust: float = 1.0, hit: float = 1.0, normal: float = 1.0) -> dict[str, pd.DataFrame]:
    """n + n images; the first ``robust`` of the fractured and ``normal`` of the normal ones survive every attack;
    the first ``hit`` of the fractured ones have their peaks on the fracture."""
    ids = [f"f{i:02d}" for i in range(n)] + [f"n{i:02d}" for i in range(n)]
    label = np.repeat([1, 0], n)
    images = pd.DataFrame({"image": ids, "label": label, "group": ids, "annotated": True})
    images["metadata"], images["content"], images["mask_area"] = '{"side": "left"}', 100, 9 * label
    images["chance_hit"] = images["chance_relevance_rank_accuracy"] = np.where(label == 1, 0.1, np.nan)
    images["ceiling_relevance_rank_accuracy_full"] = np.where(label == 1, 0.9, np.nan)
    images["ceiling_hit_full"] = np.where(label == 1, 0.8, np.nan)
    place = np.tile(np.arange(n), 2) / n
    survives = place < np.where(label == 1, robust, normal)
    blank = {"part": "", "carried": False, "ladder": False, "distance": 0.0, "zero_gradient": False}
    rows = []
    for attack in ["clean", *ATTACKS]:
        correct = np.ones(2 * n, bool) if attack == "clean" else survives
        rows.append(pd.DataFrame({"image": ids, "attack": attack, "correct": correct, "epsilon": 2 / 255, **blank}))
        rows[-1]["margin"] = np.where(correct, 1.0, -1.0)
        rows[-1]["fracture_margin"] = np.where(label == 1, 1.0, -1.0)
    for epsilon in (1 / 255, 2 / 255):
        rows.append(pd.DataFrame({"image": ids, "attack": "apgd-margin", "epsilon": epsilon, **blank | {"ladder": True},
                                  "correct": survives}))  # fmt: skip
    maps = [
        pd.DataFrame({"image": ids[:n], "attack": attack, "explainer": explainer, "grid": "full", "blank": False,
                      "hit": (place[:n] < hit).astype(float), "instance_hit": 1.0, "instance_recall": 0.5,
                      "concentration": 0.4, "outside_anatomy": 0.1, "rank_correlation": 0.7, "top_overlap": 0.6,
                      "pixel_flipping": np.nan, "sparseness": np.nan,
                      "relevance_rank_accuracy": 0.5})
        for attack in ["clean", *ATTACKS]
        for explainer in ("cam", "saliency", "random")
    ]  # fmt: skip
    predictions, alignment = (pd.concat(frames, ignore_index=True) for frames in (rows, maps))
    predictions["threat"] = np.where(predictions.attack == "clean", "clean", "linf")
    predictions["adversarial_distance"] = np.where(predictions.correct, np.inf, predictions.epsilon)
    return {"images": images, "predictions": predictions, "alignment": alignment, "gallery": pd.DataFrame()}


@pytest.mark.parametrize(
    "robust, hit, normal, headline", [(1, 1, 1, 1), (0.5, 1, 1, 0.5), (0.5, 0.25, 0.8, 0.2), (1, 1, 0, 0), (0, 1, 1, 0)]
)
def test_headline_is_the_product_of_its_factors(robust: float, hit: float, normal: float, headline: float) -> None:
    row = summarise(run(), tables(20, robust, hit, normal))
    assert row["headline"]["value"] == pytest.approx(headline)
    low, high = (np.prod([f[end] for f in row["factors"].values()]) for end in ("low", "high"))
    assert (row["headline"]["low"], row["headline"]["high"]) == pytest.approx((low, high))
    assert row["robust"]["balanced_accuracy"]["value"] == pytest.approx((robust + normal) / 2)
    assert row["factors"]["aligned_sensitivity"]["n"] == row["factors"]["robust_specificity"]["n"] == 20
    assert row["ranked"]


def test_hit_must_hold_on_the_clean_image_and_on_the_strongest_attempt() -> None:
    made = tables()
    maps = made["alignment"].reset_index(drop=True)
    half = maps.image < "f10"
    maps.loc[(maps.attack == "clean") & (maps.explainer == "cam") & half, "hit"] = 0
    maps.loc[(maps.attack == "autoattack") & (maps.explainer == "saliency") & half, "hit"] = 0
    # autoattack has the lower margin on f05..., and fgsm wins ties by its place in the spec
    predictions = made["predictions"].reset_index(drop=True)
    lower = (predictions.attack == "autoattack") & (predictions.image >= "f05")
    predictions.loc[lower, "margin"] = 0.5
    row = summarise(run(), made | {"alignment": maps, "predictions": predictions})
    assert row["headline_per_explainer"] == pytest.approx({"cam": 0.5, "saliency": 0.75})
    assert row["headline"]["value"] == pytest.approx(0.625)
    strongest = strongest_attack(predictions, ATTACKS)
    assert strongest["f04"] == "fgsm" and strongest["f05"] == "autoattack"


def test_shares_of_tied_peaks_multiply() -> None:
    maps = tables()["alignment"].assign(hit=0.5)
    strongest = pd.Series("fgsm", index=[f"f{i:02d}" for i in range(20)])
    hits = aligned_hits(maps, strongest, strongest.index, ["cam"])
    assert (hits.cam == 0.25).all()


def test_unannotated_fractures_count_for_robustness_only() -> None:
    made = tables(20, robust=0.5)
    made["images"].loc[made["images"].image >= "n00", "annotated"] = True
    made["images"].loc[made["images"].image.between("f10", "f19"), "annotated"] = False
    row = summarise(run(), made)
    assert row["factors"]["aligned_sensitivity"]["n"] == row["n"]["annotated"] == 10
    assert row["factors"]["aligned_sensitivity"]["value"] == 1 and row["robust"]["sensitivity"]["value"] == 0.5


def test_calibration_is_a_ratio_of_means_and_undefined_without_room() -> None:
    row = summarise(run(), tables())
    scores = row["alignment"]["cam"]["relevance_rank_accuracy"]["clean"]
    assert scores["calibrated"] == pytest.approx((0.5 - 0.1) / (0.9 - 0.1)) and scores["n"] == 20
    assert row["calibrated_alignment"]["value"] == pytest.approx(0.5)
    hit = row["alignment"]["cam"]["hit"]["clean"]
    assert (hit["raw"], hit["chance"], hit["ceiling"]) == pytest.approx((1, 0.1, 0.8))
    made = tables()
    made["images"]["ceiling_relevance_rank_accuracy_full"] = 0.14
    row = summarise(run(), made)
    assert np.isnan(row["calibrated_alignment"]["value"])
    assert np.isnan(row["alignment"]["cam"]["relevance_rank_accuracy"]["clean"]["calibrated"])


def test_a_missing_attack_counts_as_broken_never_as_robust() -> None:
    made = tables()
    predictions = made["predictions"]
    failed = {"kind": "attack", "status": "failed", "attack": "autoattack", "explainer": "", "error": "x"}
    row = summarise(run(cells=[failed]), made | {"predictions": predictions[predictions.attack != "autoattack"]})
    assert not row["ranked"] and "1 failed cells" in row["unranked_because"]
    nothing = summarise(run(cells=[failed]), made | {"predictions": predictions[~predictions.attack.isin(ATTACKS)]})
    assert nothing["robust"]["balanced_accuracy"]["value"] == 0


@pytest.mark.parametrize("share, flagged", [(0.05, False), (0.1, True)], ids=["two of forty", "four of forty"])
def test_zero_gradients_flag_above_five_percent(share: float, flagged: bool) -> None:
    made = tables()
    predictions = made["predictions"].reset_index(drop=True)
    predictions.loc[predictions.index[: round(40 * share)], "zero_gradient"] = True
    row = summarise(run(), made | {"predictions": predictions})
    assert row["ranked"] != flagged and ([f["name"] for f in row["flags"]] == ["zero_gradient"]) == flagged


@pytest.mark.parametrize("broken, flagged", [(2, False), (3, True)])
def test_a_black_box_that_beats_gradients_flags(broken: int, flagged: bool) -> None:
    made = tables()
    ensemble = made["predictions"].query("attack == 'autoattack'")
    square = ensemble.assign(part="square", correct=np.arange(40) >= broken)
    parts = [ensemble.assign(part="apgd-ce"), square]
    whole = ensemble.assign(correct=square.correct)
    rest = made["predictions"].query("attack != 'autoattack'")
    row = summarise(run(), made | {"predictions": pd.concat([rest, whole, *parts], ignore_index=True)})
    assert ([f["name"] for f in row["flags"]] == ["black_box_stronger"]) == flagged
    assert row["ranked"] != flagged
    assert row["attacks"]["autoattack/square"]["robust_balanced_accuracy"] == pytest.approx((40 - broken) / 40)


def test_area_under_the_curve_is_in_octaves() -> None:
    curve = [{"epsilon": f"{e}/255", "balanced_accuracy": a} for e, a in ((1, 1.0), (2, 0.5), (8, 0.0))]
    assert curve_area(curve) == pytest.approx((0.75 * 1 + 0.25 * 2) / 3)
    assert np.isnan(curve_area(curve[:1]))


def test_rows_on_other_bytes_never_share_a_ranking_and_equals_share_a_rank() -> None:
    def row(name: str, value: float | None, fingerprint: str = "f", ranked: bool = True) -> dict[str, Any]:
        board = {"spec": "s", "split": "test", "fingerprint": fingerprint, "spec_hash": "h"}
        contributions = {"groups": ["a", "b"], "fractured": [True, False], "values": [value or 0.0, 1.0]}
        return {"submission": name, **board, "ranked": ranked, "contributions": contributions,
                "headline": {"value": value}}  # fmt: skip

    rows = [row("low", 0.1), row("high", 0.9), row("same", 0.1), row("other", 0.5, "g")]
    ranked = rank([*rows, row("out", 1.0, ranked=False), row("none", None, ranked=False)])
    assert {r["submission"]: r["rank"] for r in ranked} == {
        "high": 1, "low": 2, "same": 2, "other": 1, "out": None, "none": None,
    }  # fmt: skip
    groups = {r["submission"]: r["tie_group"] for r in ranked}
    assert groups["out"] is None and groups["high"] == groups["low"] == 1, "two images tell nobody apart"


def test_contributions_give_the_headline_and_separate_entries() -> None:
    rows = [
        summarise(run(submission=name), tables(40, robust)) for name, robust in (("a", 1.0), ("b", 0.9), ("c", 0.2))
    ]
    for row in rows:
        _, sums = per_group(row["contributions"])
        assert headline(sums.sum(1)) == pytest.approx(row["headline"]["value"])
    assert [(r["submission"], r["rank"], r["tie_group"]) for r in rank(rows)] == [("a", 1, 1), ("b", 2, 1), ("c", 3, 2)]
