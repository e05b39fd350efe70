"""Intervals and paired tests on numbers whose answer is known."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from brainit.evaluation.metrics.statistics import bootstrap_interval, compare_paired


def test_p_value_is_the_share_of_sign_flips_at_least_as_extreme() -> None:
    """The signed-rank test by its definition: all 2^n signs, for ten images without ties."""
    generator = np.random.default_rng(0)
    second = generator.normal(size=10)
    first = second + generator.normal(0.4, 0.6, size=10)
    ranks = rankdata(np.abs(first - second))
    signs = np.array(list(product((0, 1), repeat=10)))
    null = signs @ ranks
    statistic = ranks[first > second].sum()
    expected = min(1.0, 2 * min((null >= statistic).mean(), (null <= statistic).mean()))
    found = compare_paired(first, second, 100, np.random.default_rng(1))
    assert found.p_value == pytest.approx(expected)
    assert found.difference == pytest.approx((first - second).mean())
    assert found.n_images == 10


def test_false_alarms_are_as_rare_as_they_should_be() -> None:
    """Two equal conditions: p below 0.05 in 5 % of 400 experiments, within three deviations."""
    generator = np.random.default_rng(2)
    pairs = generator.normal(size=(400, 2, 60))
    found = [compare_paired(a, b, 1, generator).p_value for a, b in pairs]
    assert 7 <= sum(p < 0.05 for p in found) <= 33


def test_equal_scores_and_too_few_images() -> None:
    values = np.array([0.1, 0.5, np.nan])
    same = compare_paired(values, values, 20, np.random.default_rng(0))
    assert (same.difference, same.p_value, same.n_images) == (0.0, 1.0, 2)
    one = compare_paired(np.array([1.0, np.nan]), np.zeros(2), 20, np.random.default_rng(0))
    assert np.isnan([one.difference, one.ci_low, one.p_value]).all() and one.n_images == 1


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """Normal scores of mean 0.4: 95 % of 300 intervals over 80 images hold it, within 4 points."""
    generator = np.random.default_rng(5)
    draws = generator.normal(0.4, 0.1, size=(300, 80))
    intervals = [bootstrap_interval(draw, 200, generator) for draw in draws]
    share = np.mean([low <= 0.4 <= high for low, high in intervals])
    assert 0.91 <= share <= 0.99
