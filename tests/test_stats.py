"""Intervals against scipy, closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from fracbench import stats
from scipy.stats import binomtest, norm, t

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("successes, n", [(0, 12), (3, 12), (12, 12), (2, 64)])
def test_few_successes_get_wilson_interval(successes: int, n: int) -> None:
    values = [1.0] * successes + [0.0] * (n - successes)
    ours = stats.proportion(values, range(n), 0.95)
    theirs = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high))
    assert ours["value"] == successes / n and ours["n"] == n


def worth(mean: float, variance: float, groups: int) -> float:
    """Images by Korn and Graubard, with a group more at either end."""
    ends = (mean**2 + (1 - mean) ** 2) / groups**2
    return mean * (1 - mean) / (variance + ends) * (norm.ppf(0.975) / t.ppf(0.975, groups - 1)) ** 2


def test_an_interval_is_nowhere_within_wilsons_at_as_many_images_as_groups_are_worth() -> None:
    # groups of one image are worth as many; of copies, as many as there are groups
    for copies in (1, 3):
        values, groups = np.repeat([1.0] * 6 + [0.0] * 34, copies), np.repeat(range(40), copies)
        low, high = stats.wilson(0.15, worth(0.15, 0.15 * 0.85 / 39, 40), 0.95)
        ours = stats.proportion(values, groups)
        assert ours["low"] <= low + 1e-12 and ours["high"] >= high - 1e-12
        assert ours["high"] == pytest.approx(high), "a bootstrap of six successes ends sooner"


def test_groups_that_agree_tell_no_more_than_their_images() -> None:
    # two of one patient, one right and one wrong, of twenty patients: nothing varies between groups
    ours = stats.proportion([1.0, 0.0] * 20, np.repeat(range(20), 2))
    assert (ours["low"], ours["high"]) == pytest.approx(stats.wilson(0.5, worth(0.5, 0.25 / 39, 20), 0.95))
    ours = stats.proportion([0.5] * 40, np.repeat(range(20), 2))  # nor between images
    assert (ours["low"], ours["high"]) == pytest.approx(stats.wilson(0.5, worth(0.5, 0, 20), 0.95))


def test_shares_of_which_few_differ_have_intervals_that_hold() -> None:
    # one of four explainers hits always, the others on one image in fifty: few values differ, and all to one side
    draws = np.random.default_rng(5).binomial(3, 0.02, (200, 60))
    found = [stats.proportion((1 + draw) / 4, range(60)) for draw in draws]
    held = np.mean([of["low"] <= 0.265 <= of["high"] for of in found])
    assert held >= 0.97, "of the scatter of its images alone it is .90"


def test_shares_that_vary_less_than_right_and_wrong_have_narrower_intervals() -> None:
    shares, rights = np.tile([0.25, 0.75], 30), np.tile([0.0, 1.0], 30)
    (half, whole) = (of["high"] - of["low"] for of in (stats.proportion(of, range(60)) for of in (shares, rights)))
    assert half == pytest.approx(whole / 2, rel=0.05)


def test_an_interval_holds_its_own_value_at_both_ends() -> None:
    for n in range(5, 400):
        assert stats.wilson(1.0, n, 0.95)[1] == 1.0 and stats.wilson(0.0, n, 0.95)[0] == 0.0


def test_wilson_counts_groups_not_images() -> None:
    one_each = stats.proportion([0.0] * 10, range(10))
    four_each = stats.proportion([0.0] * 40, np.repeat(range(10), 4))
    assert four_each["high"] == one_each["high"] and four_each["n"] == 40


def test_copies_of_an_image_in_its_group_do_not_narrow_the_interval() -> None:
    values = (RNG.random(60) < 0.6).astype(float)
    alone = stats.proportion(values, range(60))
    copied = stats.proportion(np.repeat(values, 5), np.repeat(range(60), 5))
    assert (copied["low"], copied["high"]) == pytest.approx((alone["low"], alone["high"]))
    as_if_independent = stats.proportion(np.repeat(values, 5), range(300))
    assert as_if_independent["high"] - as_if_independent["low"] < 0.7 * (alone["high"] - alone["low"])


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for _ in range(200):
        patients = RNG.random(40) < 0.5
        values = np.repeat(patients, 2).astype(float)
        found = stats.proportion(values, np.repeat(range(40), 2))
        covered += found["low"] <= 0.5 <= found["high"]
    assert 0.88 <= covered / 200 <= 1.0


def test_ratio_of_constant_shares_has_no_width() -> None:
    bottom = RNG.random(30) + 0.5
    assert stats.ratio(0.3 * bottom, bottom, range(30)) == pytest.approx((0.3, 0.3))


def test_few_groups_never_look_certain() -> None:
    assert np.isnan(stats.ratio([0.3, 0.3], [1.0, 1.0], ["a", "b"])).all()
    two_patients = stats.proportion(np.tile([0.0, 1.0], 20), np.repeat(["a", "b"], 20))
    assert two_patients["high"] - two_patients["low"] > 0.7


def test_nothing_gives_nan_and_not_an_error() -> None:
    assert np.isnan(stats.proportion([], [])["value"]) and stats.proportion([], [])["n"] == 0
    alone = stats.proportion([np.nan], ["a"])
    assert np.isnan([alone[key] for key in ("value", "low", "high")]).all() and alone["n"] == 1
    assert np.isnan(stats.auroc([1.0, 2.0], [1, 1]))


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    scores, labels = RNG.integers(0, 6, 50).astype(float), RNG.integers(0, 2, 50)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert stats.auroc(scores, labels) == pytest.approx(np.mean(pairs))
