"""Numbers of tables as text."""

import numpy as np

from brainit.evaluation.metrics.names import direction_of

NO_VALUE = "–"


def with_arrow(metric: str) -> str:
    """Return a metric's name with the direction in which it is better."""
    return f"{metric} {'↓' if direction_of(metric) == 'lower' else '↑'}"


def format_score(metric: str, value: float, sign: bool = False) -> str:
    """Return a score as text: percentages with one decimal, all else with three; NaN as a dash."""
    if np.isnan(value):
        return NO_VALUE
    is_percent = metric.startswith(("Alex(", "Incep")) or metric == "CLIP"
    is_percent = is_percent or metric.endswith(("way", "retrieval"))
    n_decimals = 1 if is_percent else 3
    text = f"{value:+.{n_decimals}f}" if sign else f"{value:.{n_decimals}f}"
    return text.replace("-", "−")


def format_interval(metric: str, low: float, high: float) -> str:
    """Return an interval as text; a dash where it is not known."""
    if np.isnan(low):
        return NO_VALUE
    return f"{format_score(metric, low)} to {format_score(metric, high)}"


def format_p(value: float) -> str:
    """Return a p-value as text."""
    if np.isnan(value):
        return f"p {NO_VALUE}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
