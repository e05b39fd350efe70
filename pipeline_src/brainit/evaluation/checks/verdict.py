"""One check of the results: value, null, threshold, verdict, explanation."""

from dataclasses import astuple, dataclass

import pandas as pd

HOLDS, FAILS, COMPARISON = "holds", "does not hold", "for comparison"
CHECK_COLUMNS = ("check", "value", "null", "threshold", "verdict", "explanation")


@dataclass(frozen=True)
class Check:
    """A row of `checks.csv`; `null` and `threshold` are NaN where there is none."""

    name: str
    value: float
    null: float
    threshold: float
    verdict: str
    explanation: str


def at_least(
    name: str, value: float, null: float, threshold: float, explanation: str, strict: bool = False
) -> Check:
    """Return a check that holds if value >= threshold (`strict`: value > threshold) and > null.

    A NaN value never holds. A NaN null is not compared.
    """
    reaches = value > threshold if strict else value >= threshold
    beats_null = null != null or value > null
    verdict = HOLDS if reaches and beats_null else FAILS
    return Check(name, value, null, threshold, verdict, explanation)


def within(name: str, value: float, null: float, tolerance: float, explanation: str) -> Check:
    """Return a check that holds if value and null differ by at most `tolerance`."""
    verdict = HOLDS if abs(value - null) <= tolerance else FAILS
    return Check(name, value, null, tolerance, verdict, explanation)


def for_comparison(name: str, value: float, explanation: str) -> Check:
    """Return a row without a claim: a number to compare with a check."""
    nan = float("nan")
    return Check(name, value, nan, nan, COMPARISON, explanation)


def as_table(checks: list[Check]) -> pd.DataFrame:
    """Return the checks as a table with `CHECK_COLUMNS`."""
    return pd.DataFrame([astuple(check) for check in checks], columns=list(CHECK_COLUMNS))
