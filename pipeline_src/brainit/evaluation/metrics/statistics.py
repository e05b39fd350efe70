"""Statistics over images: the mean with its interval, and the paired comparison of two runs.

`mean_interval` is the one definition of an interval: summaries, tables and figures use it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.core.streams import numpy_generator

_VALUES_PER_BLOCK = 2**16
"""Resampled values held at once: small enough for the CPU's cache."""


@dataclass(frozen=True)
class MeanInterval:
    """Mean over `n_images` images and its 95 % bootstrap interval; NaN without any image."""

    mean: float
    ci_low: float
    ci_high: float
    n_images: int


def mean_interval(values: NDArray[np.float64], metric: str, settings: Settings) -> MeanInterval:
    """Return the mean of `values` over images and its percentile bootstrap interval.

    NaN values are left out. For several subjects, `values` are the means over subjects of the
    images that all of them saw: resampling draws the same images for every subject. A metric always
    has the same draws.
    """
    known = values[np.isfinite(values)]
    generator = numpy_generator(settings.run.seed, "bootstrap", metric)
    low, high = bootstrap_interval(known, settings.evaluation.n_bootstrap, generator)
    mean = float(known.mean()) if len(known) else float("nan")
    return MeanInterval(mean, low, high, len(known))


def bootstrap_interval(
    values: NDArray[np.float64],
    n_resamples: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`, resampling images.

    `level` is the share covered. NaN values are left out; without any value both ends are NaN.
    """
    means = resampled_means(values, n_resamples, generator)
    if len(means) == 0:
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, (tail, 100.0 - tail))
    return float(low), float(high)


def resampled_means(
    values: NDArray[np.float64], n_resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean of each of `n_resamples` resamples of images, none if no value is known.

    NaN values are left out.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return np.empty(0)
    means = np.empty(n_resamples)
    for start, stop in shard_ranges(n_resamples, max(1, _VALUES_PER_BLOCK // len(known))):
        rows = generator.integers(len(known), size=(stop - start, len(known)))
        means[start:stop] = known[rows].mean(axis=1)
    return means


@dataclass(frozen=True)
class PairedComparison:
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
) -> PairedComparison:
    """Compare two conditions by the scores of the same images, in the same order.

    The p-value is from the two-sided Wilcoxon signed-rank test; zeros are ranked too (Pratt). It is
    1 if no image differs. Images with a NaN are left out; with fewer than two images all is NaN.
    """
    differences = first - second
    differences = differences[np.isfinite(differences)]
    n_images = len(differences)
    if n_images < 2:
        return PairedComparison(np.nan, np.nan, np.nan, np.nan, n_images)
    low, high = bootstrap_interval(differences, n_resamples, generator)
    p_value = 1.0
    if np.any(differences != 0):
        from scipy.stats import wilcoxon  # slow to import, and only paired tests use it

        p_value = float(wilcoxon(differences, zero_method="pratt").pvalue)
    return PairedComparison(float(differences.mean()), low, high, p_value, n_images)
