"""Betas at the mask's vertices: span read of each frame against nibabel's whole float64 array.

One hemisphere of fsaverage, 100 of a session's 750 frames, 19,004 of 163,842 vertices.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from brainit.data.mgh import read_mgh_vertices

BAR = 2.5
N_VERTICES, N_FRAMES, N_MASKED, ROUNDS = 163842, 100, 19004, 5


def mask_vertices() -> np.ndarray:
    """Return vertices drawn over the whole hemisphere: the longest span that a mask can have."""
    chosen = np.random.default_rng(0).choice(N_VERTICES, N_MASKED, replace=False)
    return np.sort(chosen).astype(np.int64)


def cpu_s(call: Callable[[], np.ndarray]) -> float:
    """Return the CPU time of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> int:
    """Print the ratio; return 1 under the bar."""
    vertices = mask_vertices()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lh.betas_session01.mgh"
        values = np.random.default_rng(1).normal(size=(N_FRAMES, N_VERTICES)).astype(">f4")
        nib.save(nib.MGHImage(values.T[:, None, None, :], np.eye(4)), path)

        def whole() -> np.ndarray:
            return nib.load(path).get_fdata()[vertices, 0, 0].T.astype(np.float32)

        def span() -> np.ndarray:
            return read_mgh_vertices(path, vertices)

        np.testing.assert_array_equal(whole(), span())
        times = [(cpu_s(whole), cpu_s(span)) for _ in range(ROUNDS)]
    ratio = min(a for a, _ in times) / min(b for _, b in times)
    sys.stdout.write(f"mgh_read: ratio {ratio:.1f} (bar {BAR})\n")
    return int(ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
