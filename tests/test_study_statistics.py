"""What pairs and models say together, against scipy and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fracbench.study.effects import together
from fracbench.study.relations import relations
from scipy.stats import kendalltau, nct, spearmanr


def test_an_architecture_counts_once_however_many_seeds_it_has() -> None:
    found = together([0.3, 0.3, 0.3, 0.1], ["a", "a", "a", "b"])
    assert found["value"] == pytest.approx(0.2) and found["pairs"] == 4 and found["families"] == 2
    assert together([0.2, np.nan], ["a", "b"])["pairs"] == 1 and np.isnan(together([], [])["value"])


def test_the_swap_test_is_that_of_scipy() -> None:
    from scipy.stats import permutation_test

    changes = np.random.default_rng(0).normal(0.5, 1, 8)
    theirs = permutation_test((changes,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert together(changes.tolist(), list("abcdefgh"))["p"] == pytest.approx(theirs.pvalue, abs=1e-9)


def test_the_interval_over_pairs_is_students() -> None:
    from scipy.stats import ttest_1samp

    changes = np.random.default_rng(1).normal(0.5, 1, 9)
    theirs = ttest_1samp(changes, 0).confidence_interval()
    ours = together(changes.tolist(), list("abcdefghi"))
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high))


def test_the_effect_size_has_the_interval_of_the_noncentral_t() -> None:
    changes = np.random.default_rng(3).normal(0.03, 0.05, 9)
    found = together(changes, list(map(str, range(9))))
    assert found["effect"] == pytest.approx(changes.mean() / changes.std(ddof=1))
    for end, below in (("effect_low", 0.975), ("effect_high", 0.025)):
        assert nct.cdf(found["effect"] * 3, 8, found[end] * 3) == pytest.approx(below, abs=1e-5)


def test_rank_correlations_are_those_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(2)
    x, y, held = rng.integers(0, 6, 20), rng.integers(0, 6, 20), rng.normal(size=20)
    found = relations(x, y, held)
    assert found["spearman"]["value"] == pytest.approx(spearmanr(x, y).statistic)
    assert found["kendall"]["value"] == pytest.approx(kendalltau(x, y).statistic)
    assert found["spearman"]["p"] == pytest.approx(spearmanr(x, y).pvalue, abs=0.05) and found["n"] == 20


def test_what_follows_from_accuracy_alone_goes_when_accuracy_is_held_fixed() -> None:
    rng = np.random.default_rng(3)
    better = rng.normal(size=200)
    found = relations(better + rng.normal(0, 0.4, 200), better + rng.normal(0, 0.4, 200), better)
    assert found["spearman"]["value"] > 0.7 and found["spearman"]["p"] < 0.001
    assert abs(found["partial"]["value"]) < 0.2 and found["partial"]["p"] > 0.01


@pytest.mark.parametrize("given", [([1, 2, 3, 4], [1, 2, 3, 4]), ([1] * 9, range(9)), ([np.nan] * 9, range(9))])
def test_too_few_or_equal_models_have_no_correlation(given: Any) -> None:
    found = relations(*given, np.ones(len(given[0])))
    assert np.isnan(found["spearman"]["value"]) and np.isnan(found["partial"]["p"])
