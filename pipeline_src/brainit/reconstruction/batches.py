"""Batches of one size, so that the bytes of an image depend on no other image.

On a CPU, oneDNN and MKL choose kernels and blocking by the number of rows. Measured on the demo's
networks, batches of another size change each image by about 1e-6 (tokens, latents), which 110 steps
of a DIP amplify to whole grey levels. In batches of one size an image has the same bytes at each
place and beside any others, so the last batch is filled with repeats of its last image.

Threads that share a batch round the numbers at the seams of their shares otherwise: of five images
in chunks of four, by two or eight threads, some differ by 1e-6 at another place. So one thread
makes images, whatever `run.threads` says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainit.core.shards import shard_ranges

N_THREADS = 1
"""Threads of torch and BLAS in every step that makes images."""


@dataclass(frozen=True)
class FixedBatch:
    """Rows to compute together, always `size` of them, of which the first `n_kept` count."""

    rows: NDArray[np.int64]
    n_kept: int


def fixed_batches(n_rows: int, size: int) -> list[FixedBatch]:
    """Return batches of `size` rows that cover `n_rows`; the last repeats its last row."""
    ranges = shard_ranges(n_rows, size)
    return [FixedBatch(np.arange(a, a + size).clip(max=b - 1), b - a) for a, b in ranges]
