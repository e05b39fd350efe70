"""Rank images by a score, which every figure names, and pick the best, median and worst."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainit.evaluation.metrics.names import direction_of


def ranking_metric(metrics: Sequence[str]) -> str:
    """Return the metric that ranks images: SwAV, else the last feature distance, else the last.

    Distances rank finely; identification is 100 % for many images at once.
    """
    distances = [name for name in metrics if name.endswith(".distance")]
    return "SwAV" if "SwAV" in metrics else (distances or list(metrics))[-1]


def ranked(metric: str, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of images, best first; ties keep their order, NaN values are left out."""
    sign = 1.0 if direction_of(metric) == "lower" else -1.0
    order = np.argsort(sign * values, kind="stable")
    return np.asarray(order[np.isfinite(values[order])], dtype=np.int64)


def best_median_worst(order: NDArray[np.int64], n_each: int) -> dict[str, NDArray[np.int64]]:
    """Return the first, middle and last `n_each` of `order`; fewer if they would overlap."""
    n_each = min(n_each, len(order) // 3)
    middle = (len(order) - n_each) // 2
    return {
        "best": order[:n_each],
        "median": order[middle : middle + n_each],
        "worst": order[len(order) - n_each :],
    }
