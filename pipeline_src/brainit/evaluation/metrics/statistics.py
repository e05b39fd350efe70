"""Statistics over images: mean and bootstrap interval, and the paired comparison of two runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon


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


@dataclass(frozen=True)
class Paired:
    """Mean of first minus second, its 95 % bootstrap interval over images, and a p-value."""

    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    n_images: int


def compare_paired(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    n_resamples: int,
    generator: np.random.Generator,
) -> Paired:
    """Compare the scores of the same images, in the same order, under two conditions.

    The p-value is of the two-sided Wilcoxon signed-rank test, zeros ranked too (Pratt); 1 where no
    image differs. Images with a NaN are left out; NaN throughout where fewer than two are left.
    """
    differences = first - second
    differences = differences[np.isfinite(differences)]
    n_images = len(differences)
    if n_images < 2:
        return Paired(np.nan, np.nan, np.nan, np.nan, n_images)
    low, high = bootstrap_interval(differences, n_resamples, generator)
    p_value = 1.0
    if np.any(differences != 0):
        p_value = float(wilcoxon(differences, zero_method="pratt").pvalue)
    return Paired(float(differences.mean()), low, high, p_value, n_images)
