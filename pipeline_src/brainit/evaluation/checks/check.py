"""One check on results: value, null, threshold, verdict, explanation."""

from dataclasses import asdict, dataclass

import pandas as pd

HOLDS, FAILS, COMPARISON = "holds", "does not hold", "for comparison"
CHECK_COLUMNS = ("check", "value", "null", "threshold", "verdict", "explanation")


@dataclass(frozen=True)
class Check:
    """A row of `checks.csv`; `null` and `threshold` are NaN where there is none."""

    check: str
    value: float
    null: float
    threshold: float
    verdict: str
    explanation: str


def at_least(
    check: str, value: float, null: float, threshold: float, explanation: str, strict: bool = False
) -> Check:
    """Return a check that holds where value >= threshold (`strict`: above it) and above its null.

    A NaN value never holds; a NaN null is not compared.
    """
    reaches = value > threshold if strict else value >= threshold
    beats_null = null != null or value > null
    verdict = HOLDS if reaches and beats_null else FAILS
    return Check(check, value, null, threshold, verdict, explanation)


def within(check: str, value: float, null: float, tolerance: float, explanation: str) -> Check:
    """Return a check that holds where value is no further than `tolerance` from `null`."""
    verdict = HOLDS if abs(value - null) <= tolerance else FAILS
    return Check(check, value, null, tolerance, verdict, explanation)


def for_comparison(check: str, value: float, explanation: str) -> Check:
    """Return a row that claims nothing and stands beside a check."""
    nan = float("nan")
    return Check(check, value, nan, nan, COMPARISON, explanation)


def as_table(checks: list[Check]) -> pd.DataFrame:
    """Return the checks as a table of `CHECK_COLUMNS`."""
    return pd.DataFrame([asdict(check) for check in checks], columns=list(CHECK_COLUMNS))
