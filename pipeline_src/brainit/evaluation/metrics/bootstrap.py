"""Bootstrap intervals of a mean over images."""

import numpy as np
from numpy.typing import NDArray


def bootstrap_interval(
    values: NDArray[np.float64],
    n_resamples: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`, resampling images.

    `level` is the covered share. NaN values are left out; without any value both ends are NaN.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    rows = (generator.integers(len(known), size=len(known)) for _ in range(n_resamples))
    means = np.array([known[row].mean() for row in rows])
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, (tail, 100.0 - tail))
    return float(low), float(high)
