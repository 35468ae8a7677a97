"""Robustness measures from made rows whose answer can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fracbench import robust_scores as scores

IDS = [f"f{i}" for i in range(10)] + [f"n{i}" for i in range(10)]
IMAGES = pd.DataFrame({"image": IDS, "label": [1] * 10 + [0] * 10, "group": IDS}).set_index("image")


def flags(*broken: str) -> pd.Series:
    return pd.Series([name not in broken for name in IDS], index=IMAGES.index)


def rows(correct: pd.Series, **columns: Any) -> pd.DataFrame:
    blank = {
        "threat": "linf",
        "epsilon": 1 / 255,
        "attack": "pgd",
        "part": "",
        "ladder": False,
        "carried": False,
        "margin": 1.0,
    }
    return pd.DataFrame({"image": IDS, "correct": correct.to_numpy(), **blank | columns})


def test_missed_fractures_and_false_alarms_are_told_apart_among_what_was_right_before() -> None:
    clean = flags("f0", "n0", "n1")
    found = scores.success(flags("f0", "f1", "f2", "f3", "n0", "n1", "n2"), IMAGES, clean)
    assert found["missed_fracture_rate"]["value"] == pytest.approx(3 / 9) and found["missed_fracture_rate"]["n"] == 9
    assert found["false_alarm_rate"]["value"] == pytest.approx(1 / 8) and found["false_alarm_rate"]["n"] == 8
    assert found["attack_success_rate"]["value"] == pytest.approx(4 / 17) and found["attack_success_rate"]["n"] == 17


def test_distances_are_the_nearest_found_by_any_cell_of_the_threat() -> None:
    distance = np.full(20, np.inf)
    clean = rows(flags("f0"), threat="clean", adversarial_distance=np.where(flags("f0"), np.inf, 0.0))
    near, far = distance.copy(), distance.copy()
    near[1:5], far[1:10] = 0.01, 0.02
    attacked = [rows(flags(), adversarial_distance=near), rows(flags(), adversarial_distance=far, ladder=True)]
    other = rows(flags(), threat="l2", adversarial_distance=np.full(20, 1e-9))
    found = scores.adversarial_distances(pd.concat([clean, *attacked, other]), IMAGES, "linf")
    assert found["f0"] == 0 and found["f4"] == 0.01 and found["f9"] == 0.02 and np.isinf(found["n0"])
    median = scores.median_adversarial_epsilon(found, IMAGES)
    assert median["fractured"] == {"median": pytest.approx(0.015), "never_broken": 0, "n": 10}
    assert median["normal"]["never_broken"] == 10 and np.isinf(median["normal"]["median"])
    at = [scores.robust_at(found, IMAGES, e)["balanced_accuracy"]["value"] for e in (0.005, 0.01, 0.015, 0.02)]
    assert at == pytest.approx([0.95, 0.75, 0.75, 0.5])


def test_parts_of_an_ensemble_count_with_what_came_before_them() -> None:
    clean = flags("n9")
    first, second = flags("f0", "f1", "n9"), flags("f2")
    skipped = (~(clean & first)).to_numpy()
    parts = [
        rows(first, attack="aa", part="ce"),
        rows(second & first & clean, attack="aa", part="margin", carried=skipped),
        rows(flags("f0", "f3"), attack="aa", part="fab", carried=~clean.to_numpy()),
    ]
    whole = rows(flags("f0", "f1", "f2", "f3", "n9"), attack="aa")
    table = scores.attack_table(pd.concat([whole, *parts]), IMAGES, clean, ["aa"], {})
    assert [table[name]["sensitivity"] for name in ("aa/ce", "aa/margin", "aa/fab", "aa")] == [0.8, 0.7, 0.6, 0.6]
    assert all(of["specificity"] == 0.9 for of in table.values())
    assert [table[name]["n"] for name in ("aa/ce", "aa/margin", "aa/fab", "aa")] == [20, 17, 19, 20]


def test_sensitivity_at_a_threshold_that_keeps_nine_of_ten_normal_images() -> None:
    margin = pd.Series([*np.arange(1, 11), *np.arange(-5, 5)], index=IMAGES.index, dtype=float)
    attacked = rows(flags(), margin=[*np.arange(-4, 6), *np.zeros(10)])
    found = scores.sensitivity_at_specificity(margin, attacked, IMAGES)
    assert found["threshold"] == 3 and found["specificity"] == 0.9 and found["n"] == 10
    assert found["clean"] == pytest.approx(0.7), "4 to 10 lie above 3"
    assert found["robust"] == pytest.approx(0.2), "4 and 5 do under attack"
    nothing = scores.sensitivity_at_specificity(margin[:10], attacked, IMAGES[:10])
    assert np.isnan(nothing["clean"])


def test_corruptions_are_averaged_over_severities_then_kinds_and_never_worst_cased() -> None:
    made = [
        rows(flags("f0", "f1"), threat="corruptions", attack="blur", epsilon=1.0),
        rows(flags("n0", "n1", "n2", "n3"), threat="corruptions", attack="blur", epsilon=2.0),
        rows(flags(*IDS[:10]), threat="corruptions", attack="noise", epsilon=1.0),
    ]
    found = scores.corruptions(pd.concat(made), IMAGES, ["blur"], [1, 2])
    blur = found["kinds"]["blur"]
    assert [blur["by_severity"][n]["balanced_accuracy"] for n in "12"] == pytest.approx([0.9, 0.8])
    assert blur["balanced_accuracy"] == pytest.approx(0.85) and blur["sensitivity"] == pytest.approx(0.9)
    assert found["balanced_accuracy"] == pytest.approx(0.85) and found["n"] == 20
    both = scores.corruptions(pd.concat(made), IMAGES, ["blur", "noise"], [1])
    assert both["balanced_accuracy"] == pytest.approx((0.9 + 0.5) / 2)
    failed = scores.corruptions(pd.concat(made), IMAGES, ["blur", "noise"], [1, 2])
    assert failed["kinds"]["blur"] == blur and np.isnan(failed["balanced_accuracy"]), "what failed is not left out"
    assert np.isnan(scores.corruptions(rows(flags()), IMAGES, [], [])["balanced_accuracy"])


def test_another_threat_has_a_worst_case_and_costs_of_its_own() -> None:
    made = pd.concat([
        rows(flags("f0"), threat="l2", epsilon=0.5, attack="pgd"),
        rows(flags("n0"), threat="l2", epsilon=0.5, attack="cw"),
        rows(flags(*IDS), threat="l2", epsilon=0.7, attack="pgd"), rows(flags(*IDS)),
    ])  # fmt: skip
    cost = {
        "kind": "further",
        "norm": "l2",
        "epsilon": "0.5",
        "status": "done",
        "images": 20,
        "batch": 0,
        "seconds": 2.0,
    }
    cells = [
        cost | {"attack": "pgd", "forward": 40, "backward": 20},
        cost | {"attack": "cw", "forward": 60, "backward": 0},
    ]
    found = scores.further_threat(made, IMAGES, flags("f1"), {"cells": cells}, {"norm": "l2", "epsilon": "0.5"})
    assert found["balanced_accuracy"]["value"] == pytest.approx(0.85), "f0, f1 and n0 are lost"
    assert found["attacks"]["pgd"]["sensitivity"] == pytest.approx(0.8)
    assert found["attacks"]["cw"]["forward_per_image"] == 3 and found["attacks"]["pgd"]["backward_per_image"] == 1


def test_costs_are_summed_over_batches_parts_apart() -> None:
    cell = {
        "kind": "attack",
        "attack": "aa",
        "status": "done",
        "images": 10,
        "batch": 0,
        "forward": 50,
        "backward": 20,
        "seconds": 1.5,
    }
    cell |= {"parts": {"square": {"forward": 30, "backward": 0, "seconds": 1.0}}}
    ladder = {"kind": "ladder", "parts": {}}
    given = [
        cell,
        cell | {"batch": 1},
        cell | {"status": "failed"},
        cell | ladder,
        cell | ladder | {"attack": "adaptive"},
    ]
    found = scores.spent_by(given)
    assert found["aa"] == {"forward_per_image": 5, "backward_per_image": 2, "seconds": 3.0}
    assert found["aa/square"]["forward_per_image"] == 3 and found["ladder"]["backward_per_image"] == 4, "two attacks"


def test_what_a_later_attack_breaks_is_carried_to_its_rung_and_every_larger_one() -> None:
    rungs, inf = ["0.5/255", "1/255", "2/255"], np.inf
    ladder = [rows(flags("n0"), epsilon=float(r[:-4]) / 255, ladder=True, adversarial_distance=inf) for r in rungs]
    outside = np.float32(1 / 255) + 5e-7  # float32 may measure it that far off
    late = rows(flags("f0"), attack="adaptive", adversarial_distance=np.where(flags("f0"), inf, outside))
    table = scores.carried_over(
        pd.concat([*ladder, late], ignore_index=True).assign(carried=False, distance=0.0), "linf"
    )
    curve = scores.curve(table, IMAGES, flags(), rungs)
    assert [point["sensitivity"] for point in curve] == pytest.approx([1, 0.9, 0.9])
    assert [point["specificity"] for point in curve] == pytest.approx([0.9, 0.9, 0.9])
    assert list(table[table.carried].image) == ["f0", "f0"] and table[table.carried].margin.isna().all()
    distances = scores.adversarial_distances(table, IMAGES, "linf")
    assert scores.robust_at(distances, IMAGES, 1 / 255)["sensitivity"]["value"] == pytest.approx(0.9)
    assert scores.robust_at(distances, IMAGES, 0.9 / 255)["sensitivity"]["value"] == 1


def test_a_lowering_is_credited_to_who_came_first() -> None:
    sent = [rows(flags("f0", "f1"), attack="third-party/b"), rows(flags("f1", "f2", "n0"), attack="third-party/a"),
            rows(flags("f3"), attack="third-party/b")]  # fmt: skip
    found = scores.third_party(pd.concat(sent, ignore_index=True), flags("n0"))
    assert found == [{"by": "b", "images": 20, "lowered": 3}, {"by": "a", "images": 20, "lowered": 1}]
