"""Verdicts from intervals, Holm's correction against statsmodels' rule in loops, joint claims."""

import numpy as np
import pytest
from scipy.stats import norm

from brainit.evaluation.checks.verdict import (
    CHECK_COLUMNS,
    FAILS,
    HOLDS,
    UNDECIDED,
    Difference,
    Interval,
    above,
    as_table,
    at_least,
    holm,
    joint_verdict,
    undecided,
    within,
)

NAN = float("nan")


def difference(metric: str, z: float, sd: float = 1.0) -> Difference:
    """Return a difference of `z` standard deviations with its normal interval."""
    value = z * sd
    return Difference(metric, Interval(value, value - 1.96 * sd, value + 1.96 * sd), sd)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.41, 0.6, HOLDS),
        (0.40, 0.6, UNDECIDED),
        (0.2, 0.4, UNDECIDED),
        (0.2, 0.39, FAILS),
        (NAN, NAN, UNDECIDED),
    ],
)
def test_a_verdict_follows_from_interval_and_threshold(
    low: float, high: float, verdict: str
) -> None:
    check = above("a", Interval((low + high) / 2, low, high), 0.4, "why", null=0.1)
    assert check.verdict == verdict
    assert (check.threshold, check.null) == (0.4, 0.1)


def test_exact_numbers_and_missing_runs() -> None:
    assert at_least("a", 0.4, 0.4, "").verdict == HOLDS
    assert at_least("a", 0.39, 0.4, "").verdict == FAILS
    assert at_least("a", NAN, 0.4, "").verdict == FAILS
    assert within("a", Interval(50.5, NAN, NAN), 50.0, 0.5, "").verdict == HOLDS
    assert within("a", Interval(50.6, NAN, NAN), 50.0, 0.5, "").verdict == FAILS
    missing = undecided("a", "b was not run")
    assert missing.verdict == UNDECIDED and np.isnan(missing.value)
    assert tuple(as_table([missing])) == CHECK_COLUMNS


def test_percentile_interval_of_resamples() -> None:
    resampled = np.random.default_rng(0).normal(size=5000)
    found = Interval.of(0.1, resampled)
    assert (found.low, found.high) == pytest.approx((-1.96, 1.96), abs=0.1)
    assert np.isnan(Interval.of(0.1, np.empty(0)).low)


def test_holm_by_its_definition() -> None:
    """The k-th smallest p is rejected if all up to it are at most level / (m - k + 1)."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(7) ** 4
        found = holm(p.tolist(), 0.05)
        in_order = sorted(p)
        for value, rejected in zip(p, found, strict=True):
            rank = in_order.index(value)
            expected = all(in_order[k] <= 0.05 / (7 - k) for k in range(rank + 1))
            assert rejected == expected
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([0.02, 0.02, 0.03], 0.05) == [False, False, False]
    assert holm([], 0.05) == []


def test_the_familywise_error_of_being_worse_is_kept() -> None:
    """Equal runs on twenty metrics: in 2.5 % of families one is worse; uncorrected, in 40 %."""
    rng = np.random.default_rng(2)
    families = rng.normal(size=(4000, 20))
    corrected = np.mean([any(holm(norm.cdf(z).tolist(), 0.025)) for z in families])
    assert corrected == pytest.approx(0.025, abs=0.008)
    assert np.mean((norm.cdf(families) < 0.025).any(axis=1)) > 0.3


@pytest.mark.parametrize(
    ("z", "stated", "verdict", "deciding"),
    [
        ({"a": 5.0, "b": 3.0, "c": 0.1}, ("a", "b"), HOLDS, "b"),
        ({"a": 5.0, "b": 1.5, "c": 0.1}, ("a", "b"), UNDECIDED, "b"),
        ({"a": 5.0, "b": 3.0, "c": -2.1}, ("a", "b"), UNDECIDED, "c"),  # worse, if not corrected
        ({"a": 5.0, "b": 3.0, "c": -4.0}, ("a", "b"), FAILS, "c"),
        ({"a": -4.0, "b": 3.0, "c": -3.0}, ("a", "b"), FAILS, "a"),
        ({"a": 5.0}, ("a", "missing"), UNDECIDED, "missing"),
        ({"a": NAN, "b": 3.0}, ("a", "b"), UNDECIDED, "a"),
        ({"a": 0.0, "b": 3.0}, ("a", "b"), UNDECIDED, "a"),
    ],
)
def test_joint_verdicts(
    z: dict[str, float], stated: tuple[str, ...], verdict: str, deciding: str
) -> None:
    found, decided_by = joint_verdict([difference(m, value) for m, value in z.items()], stated)
    assert (found, decided_by.metric) == (verdict, deciding)


def test_units_do_not_matter_for_the_weakest() -> None:
    small, large = difference("a", 3.0, sd=0.001), difference("b", 5.0, sd=10.0)
    assert joint_verdict([large, small], ("a", "b"))[1].metric == "a"


def test_differences_without_noise() -> None:
    better = Difference.of("a", 1.0, np.full(10, 1.0))
    equal = Difference.of("b", 0.0, np.zeros(10))
    worse = Difference.of("c", -1.0, np.full(10, -1.0))
    assert joint_verdict([better, equal], ("a",))[0] == HOLDS
    assert joint_verdict([better, equal], ("a", "b"))[0] == UNDECIDED
    assert joint_verdict([better, worse], ("a",)) == (FAILS, worse)
