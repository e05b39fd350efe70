"""Two rows of a table compared image by image: difference, its interval, Wilcoxon's test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from brainit.evaluation.metrics.bootstrap import bootstrap_interval


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
