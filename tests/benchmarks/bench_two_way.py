"""Two-way identification against `np.corrcoef` of both stacks, one thread, on a hard case.

The scores must be identical, not only close; seconds are the minimum of interleaved runs.
"""

import sys
import time

import numpy as np
import torch

from brainit.evaluation.metrics.two_way import two_way_scores

N_IMAGES, N_FEATURES = 1000, 9216
N_ROUNDS, BAR = 5, 3.0


def by_corrcoef(recons: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the scores as the field's notebooks compute them, in percent."""
    n_images = len(recons)
    matrix = np.corrcoef(targets, recons)[:n_images, n_images:]
    lower = (matrix < np.diag(matrix)[None]).sum(axis=0)
    return 100.0 * lower / (n_images - 1)


def main() -> int:
    """Print the ratio; return 1 where it is under the bar or a score differs."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(N_IMAGES, N_FEATURES, generator=generator)
    recons = 0.01 * targets + torch.randn(N_IMAGES, N_FEATURES, generator=generator)
    plain_s, fast_s = [], []
    for _ in range(N_ROUNDS):
        started = time.perf_counter()
        expected = by_corrcoef(recons.numpy(), targets.numpy())
        plain_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        found = two_way_scores(recons, targets).numpy()
        fast_s.append(time.perf_counter() - started)
    ratio = min(plain_s) / min(fast_s)
    is_equal = bool(np.array_equal(expected, found))
    extra = f"mean {found.mean():.4f} %, scores identical: {is_equal}; {min(fast_s):.3f} s"
    print(f"two-way {N_IMAGES} x {N_FEATURES}: ratio {ratio:.2f} (bar {BAR}) [{extra}]")  # noqa: T201
    return int(ratio < BAR or not is_equal)


if __name__ == "__main__":
    sys.exit(main())
