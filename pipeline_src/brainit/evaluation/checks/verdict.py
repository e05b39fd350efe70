"""One check of the results: value, 95 % interval, threshold, verdict, explanation.

A verdict follows from an interval and a threshold stated before: *holds* where the interval lies
above the threshold, *does not hold* where it lies below, *undecided* where it contains it. So
noise alone turns "holds" into "undecided", not into its contrary.

A joint claim ("better on every metric") is a family of differences, see `joint_verdict`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

HOLDS, FAILS, UNDECIDED, COMPARISON = "holds", "does not hold", "undecided", "for comparison"
VERDICTS = (HOLDS, FAILS, UNDECIDED, COMPARISON)
CHECK_COLUMNS = (
    "check",
    "value",
    "low",
    "high",
    "null",
    "threshold",
    "verdict",
    "explanation",
)
NAN = float("nan")
LEVEL = 0.95
TAIL = (1.0 - LEVEL) / 2.0
"""Each side's share of errors: a claim is judged by a two-sided 95 % interval."""


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, resampled: NDArray[np.float64]) -> "Interval":
        """Return the percentile interval of a value from its resamples; NaN without any.

        A resample without a value could lie anywhere, so it counts as lowest and as highest: more
        of them than `TAIL` leave the interval without ends.
        """
        known = np.sort(resampled[np.isfinite(resampled)])
        n_unknown = len(resampled) - len(known)
        if not len(known) or n_unknown > TAIL * len(resampled):
            return cls(value, NAN, NAN)
        tail = (TAIL * (len(resampled) - 1) - n_unknown) / max(len(known) - 1, 1)
        low, high = np.quantile(known, (max(tail, 0.0), 1.0 - max(tail, 0.0)))
        return cls(value, float(low), float(high))

    def against(self, threshold: float) -> str:
        """Return the verdict on "above `threshold`"; undecided if either is NaN."""
        if self.low > threshold:
            return HOLDS
        return FAILS if self.high < threshold else UNDECIDED

    @property
    def ends(self) -> tuple[float, float, float]:
        """Value, low and high."""
        return self.value, self.low, self.high

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def jackknife(statistic: Callable[[NDArray[np.bool_]], float], group: NDArray[Any]) -> Interval:
    """Return a statistic and its interval from leaving out each group of units once.

    `statistic` takes which units are kept. The variance is (g - 1) / g * sum of squared deviations
    for g groups (Efron and Stein 1981), the interval Student's with g - 1 degrees of freedom.
    Unlike in the bootstrap no unit counts twice, so the interval is of the value itself.
    """
    groups = np.unique(group)
    value = statistic(np.ones(len(group), dtype=bool))
    without = np.array([statistic(group != left_out) for left_out in groups])
    deviation = np.sqrt((len(groups) - 1) * without.var())
    reach = float(student.isf(TAIL, max(len(groups) - 1, 1)) * deviation)
    return Interval(value, value - reach, value + reach)


@dataclass(frozen=True)
class Check:
    """A row of `checks.csv`; numbers are NaN where there is none."""

    name: str
    value: float
    low: float
    high: float
    null: float
    threshold: float
    verdict: str
    explanation: str


def above(
    name: str, interval: Interval, threshold: float, explanation: str, null: float = NAN
) -> Check:
    """Return a check whose verdict follows from its interval: above `threshold` or not."""
    verdict = interval.against(threshold)
    return Check(name, *interval.ends, null, threshold, verdict, explanation)


def undecided(name: str, explanation: str) -> Check:
    """Return a claim that cannot be judged, such as one whose runs are missing."""
    return Check(name, NAN, NAN, NAN, NAN, NAN, UNDECIDED, explanation)


def at_least(name: str, value: float, threshold: float, explanation: str) -> Check:
    """Return a check of an exact number, without noise: holds if value >= threshold."""
    verdict = HOLDS if value >= threshold else FAILS
    return Check(name, value, NAN, NAN, NAN, threshold, verdict, explanation)


def within(name: str, interval: Interval, null: float, tolerance: float, explanation: str) -> Check:
    """Return a check that holds if value and null differ by at most `tolerance`."""
    verdict = HOLDS if abs(interval.value - null) <= tolerance else FAILS
    return Check(name, *interval.ends, null, tolerance, verdict, explanation)


def for_comparison(name: str, value: float, explanation: str) -> Check:
    """Return a row without a claim: a number to compare with a check."""
    return Check(name, value, NAN, NAN, NAN, NAN, COMPARISON, explanation)


def as_table(checks: list[Check]) -> pd.DataFrame:
    """Return the checks as a table with `CHECK_COLUMNS`."""
    return pd.DataFrame([astuple(check) for check in checks], columns=list(CHECK_COLUMNS))


@dataclass(frozen=True)
class Difference:
    """One metric's mean difference of two conditions; above 0 the first is better.

    `sd` is the standard error of the difference, with `dof` degrees of freedom: infinite for a
    bootstrap over images. NaN if a condition lacks the metric.
    """

    metric: str
    interval: Interval
    sd: float
    dof: float = np.inf

    @classmethod
    def of(cls, metric: str, value: float, resampled: NDArray[np.float64]) -> "Difference":
        """Return the difference from its value and its resamples."""
        sd = float(resampled.std()) if len(resampled) else NAN
        return cls(metric, Interval.of(value, resampled), sd)

    @classmethod
    def unknown(cls, metric: str) -> "Difference":
        """Return the difference on a metric that one condition lacks."""
        return cls(metric, Interval(NAN, NAN, NAN), NAN)

    @property
    def z(self) -> float:
        """Value in standard errors; infinite where nothing varies."""
        if self.sd > 0:
            return self.interval.value / self.sd
        return float(np.sign(self.interval.value)) * np.inf if self.interval.value else 0.0

    @property
    def p_worse(self) -> float:
        """One-sided p-value of "the first is not worse", from Student's t (normal: `dof` inf)."""
        return float(student.cdf(self.z, self.dof)) if np.isfinite(self.interval.value) else 1.0

    def __str__(self) -> str:
        return f"{self.metric} {self.interval}"


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Return which hypotheses are rejected with a familywise error of at most `level`.

    Holm (1979): the smallest of m p-values is compared with level / m, the next with
    level / (m - 1), and so on up to the first that is not below.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected


def joint_verdict(
    differences: Sequence[Difference], stated: Collection[str]
) -> tuple[str, Difference]:
    """Return the verdict on "better on the `stated` metrics, worse on none", and what decides it.

    *Holds*: each stated metric's interval lies above 0 and no metric's lies below. All of them must
    be above, so each is tested at its own 95 % and no correction is due (an intersection-union
    test, Berger 1982). *Does not hold*: the first is worse on some metric; one of many would be by
    chance, so the one-sided p-values are corrected by Holm, 2.5 % for the family. *Undecided*:
    neither. The deciding difference is the worst, else the weakest of the stated ones.
    """
    assert differences and stated, "a claim needs metrics"
    known = {d.metric for d in differences}
    of_claim = [*differences, *(Difference.unknown(m) for m in stated if m not in known)]
    rejected = holm([d.p_worse for d in of_claim], TAIL)
    worse = [d for d, is_worse in zip(of_claim, rejected, strict=True) if is_worse]
    worse = [d for d in worse if d.interval.high < 0]
    if worse:
        return FAILS, min(worse, key=lambda d: d.z)
    doubtful = [d for d in of_claim if d.interval.high < 0]
    if doubtful:
        return UNDECIDED, min(doubtful, key=lambda d: d.z)
    weakest = min((d for d in of_claim if d.metric in stated), key=_strength)
    return HOLDS if weakest.interval.low > 0 and _all_above(
        of_claim, stated
    ) else UNDECIDED, weakest


def _strength(difference: Difference) -> float:
    return difference.z if np.isfinite(difference.interval.value) else -np.inf


def _all_above(differences: Sequence[Difference], stated: Collection[str]) -> bool:
    return all(d.interval.low > 0 for d in differences if d.metric in stated)


JOINT_RULE = (
    "holds if each stated metric is above 0 by its 95 % interval and no metric lies below; does not"
    " hold if one is worse after Holm's correction"
)
"""The rule of `joint_verdict`, for explanations."""
