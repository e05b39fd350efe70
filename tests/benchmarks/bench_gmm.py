"""A pass of the mixture on torch against scikit-learn's, one thread, at the paper's width.

A pass is an E-step and an M-step of full covariances of width 256, 500 points to a component (the
paper has 2,500, beside which the factors count less); seconds are CPU seconds of passes after the
first, the least of interleaved runs. The bounds must agree to 1e-5.
"""

import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from brainit.models.gaussian_mixture import fit_mixture

N_POINTS, WIDTH, N_COMPONENTS = 16000, 256, 32
N_PASSES, N_ROUNDS, BAR = 2, 2, 1.3


class FromStart(GaussianMixture):
    """scikit-learn's mixture, started from given clusters."""

    start: np.ndarray

    def _initialize_parameters(self, points: np.ndarray, *_: Any, **__: Any) -> None:
        parts = np.zeros((len(points), self.n_components), dtype=points.dtype)
        parts[np.arange(len(points)), self.start] = 1.0
        self._initialize(points, parts)


def plain(points: np.ndarray, start: np.ndarray, n_passes: int) -> float:
    """Return scikit-learn's bound after the passes."""
    mixture = FromStart(N_COMPONENTS, max_iter=n_passes, tol=0.0)
    mixture.start = start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(mixture.fit(points).lower_bound_)


def ours(points: np.ndarray, start: np.ndarray, n_passes: int) -> float:
    """Return the bound of the mixture on torch after the passes."""
    fit = fit_mixture(points, start, N_COMPONENTS, "full", n_passes, torch.device("cpu"))
    return fit.bounds[-1]


def main() -> int:
    """Print the ratio; return 1 where it is under the bar or the bounds differ."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((N_COMPONENTS, WIDTH))
    start = np.arange(N_POINTS) % N_COMPONENTS
    points = centres[start] + 0.5 * generator.standard_normal((N_POINTS, WIDTH))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    bounds = {}
    with threadpool_limits(1):
        for _ in range(N_ROUNDS):
            for name, fit in (("plain", plain), ("ours", ours)):
                spent = []
                for n_passes in (1, 1 + N_PASSES):  # the difference is that of the passes alone
                    began = time.process_time()
                    bounds[name] = fit(points, start, n_passes)
                    spent.append(time.process_time() - began)
                seconds[name].append((spent[1] - spent[0]) / N_PASSES)
    ratio = min(seconds["plain"]) / min(seconds["ours"])
    error = abs(bounds["ours"] / bounds["plain"] - 1.0)
    extra = f"{min(seconds['ours']):.2f} CPU s a pass; bounds differ by {error:.0e}"
    print(f"mixture {N_POINTS} x {WIDTH}: ratio {ratio:.2f} (bar {BAR}) [{extra}]")  # noqa: T201
    return int(ratio < BAR or error > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
