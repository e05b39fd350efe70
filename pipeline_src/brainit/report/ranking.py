"""By which score images are called best, median and worst: stated wherever they are shown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.tables.rows import duration_label, is_amount

KIND_LABELS = {"lowlevel": "low-level", "semantic": "semantic", "fused": "fused"}


def run_label(run: str) -> str:
    """Return how a run is called in text: 15min is 15 min, 1h_scratch 1 h from scratch."""
    duration, _, rest = run.partition("_")
    text = duration_label(duration) if is_amount(duration) else duration
    return " ".join([text, *rest.replace("scratch", "from scratch").split("_")]).strip()


def ranking_metric(metrics: Sequence[str]) -> str:
    """Return the score that ranks images.

    SwAV's distance (Table 1), or the last feature distance that there is, for identification is
    100 % on many images at once; else the last of `metrics`.
    """
    distances = [name for name in metrics if name.endswith(".distance")]
    return "SwAV" if "SwAV" in metrics else (distances or list(metrics))[-1]


def ranked(metric: str, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places of the images whose `values` are known, best first; ties stay in order."""
    sign = 1.0 if direction_of(metric) == "lower" else -1.0
    order = np.argsort(sign * values, kind="stable")
    return np.asarray(order[np.isfinite(values[order])], dtype=np.int64)


def best_median_worst(order: NDArray[np.int64], n_each: int) -> dict[str, NDArray[np.int64]]:
    """Return the first, middle and last `n_each` of `order`, fewer where they would overlap."""
    n_each = min(n_each, len(order) // 3)
    middle = (len(order) - n_each) // 2
    return {
        "best": order[:n_each],
        "median": order[middle : middle + n_each],
        "worst": order[len(order) - n_each :],
    }
