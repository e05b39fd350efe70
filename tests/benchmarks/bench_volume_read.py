"""A session of func1pt8mm betas to z-scores: runs of voxels against the whole HDF5 file.

A file of the true size (subject 1: 81 x 104 x 83 voxels, 750 trials, 1.05 GB, one chunk per voxel)
and a ball of about 40,000 voxels. Each way runs in separate processes: processor seconds (least
of the rounds), and peak memory without what the imports alone take. Results must agree. The bars
are against the usual way, the whole session as float32 and then the mask; the leanest whole read
is printed beside it.
"""

import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from process_memory import peak_mb, printed_by

from brainit.data.nsd.volume import DATASET, UNITS_PER_PERCENT, VolumeMask, read_hdf5_voxels
from brainit.data.zscore import zscore_session

SHAPE, N_TRIALS, RADIUS = (81, 104, 83), 750, 21.2
SPEED_BAR, MEMORY_BAR, STEP_BAR_MB, ROUNDS, TOLERANCE = 5.0, 8.0, 1000.0, 2, 2e-3


def ball() -> VolumeMask:
    """Return a ball of voxels as the mask; its surface gives runs of many lengths."""
    x, y, z = np.indices(SHAPE)
    centre = [size / 2 for size in SHAPE]
    away = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    vertex = np.flatnonzero((away < RADIUS**2).ravel(order="F")).astype(np.int64)
    return VolumeMask("ball", vertex, SHAPE, np.eye(4))


def write_session(path: Path) -> None:
    """Write (trials, Z, Y, X) as NSD's file, slab by slab of Z."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as handle:
        shape = (N_TRIALS, *SHAPE[::-1])
        dataset = handle.create_dataset(DATASET, shape, np.int16, chunks=(N_TRIALS, 1, 1, 1))
        for slab in range(shape[1]):
            dataset[:, slab] = rng.integers(-3000, 3000, (N_TRIALS, *shape[2:]), dtype=np.int16)


def by_runs(path: Path, mask: VolumeMask) -> np.ndarray:
    """Read and normalise as `prepare_betas` does."""
    return zscore_session(read_hdf5_voxels(path, mask, N_TRIALS), np.ones(N_TRIALS, dtype=bool))[0]


def whole(path: Path, mask: VolumeMask, as_float: bool = True) -> np.ndarray:
    """Read the whole session as float32, mask it, and normalise; or mask the integers first."""
    inside = np.zeros(SHAPE[::-1], dtype=bool)
    x, y, z = mask.xyz.T
    inside[z, y, x] = True
    with h5py.File(path) as handle:
        values = handle[DATASET][...]
    values = values.astype(np.float32)[:, inside] if as_float else values[:, inside]
    values = values.astype(np.float32) / UNITS_PER_PERCENT
    return ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float16)


def whole_integers(path: Path, mask: VolumeMask) -> np.ndarray:
    """Read the whole session as integers and mask them before anything else: the leanest."""
    return whole(path, mask, as_float=False)


WAYS = {"runs": by_runs, "whole": whole, "integers": whole_integers}


def measure(kind: str, path: Path) -> tuple[float, float, float]:
    """Return processor seconds, peak MB and peak MB with imports of one way, in a new process."""
    seconds, own_mb, all_mb = printed_by(__file__, kind, str(path))
    return seconds, own_mb, all_mb


def child(kind: str, path: Path) -> None:
    """Run one way, print its time and memory, and keep its z-scores."""
    mask, before, started = ball(), peak_mb(), time.process_time()
    scores = WAYS[kind](path, mask)
    seconds = time.process_time() - started
    print(seconds, peak_mb() - before, peak_mb())  # noqa: T201
    np.save(path.with_name(f"{kind}.npy"), scores)


def main() -> int:
    """Print both ratios; return 1 where one is under its bar or results differ."""
    if sys.argv[1:]:
        child(sys.argv[1], Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "betas_session01.hdf5"
        write_session(path)
        found = {k: [measure(k, path) for _ in range(ROUNDS)] for k in WAYS}
        runs, plain = (np.load(path.with_name(f"{kind}.npy")) for kind in ("runs", "whole"))
    apart = float(np.abs(runs.astype(np.float32) - plain).max())
    seconds = {kind: min(row[0] for row in rows) for kind, rows in found.items()}
    memory = {kind: max(row[1] for row in rows) for kind, rows in found.items()}
    speed, saved = seconds["whole"] / seconds["runs"], memory["whole"] / memory["runs"]
    step_mb = max(row[2] for row in found["runs"])
    detail = f"{seconds['whole']:.1f} s, {seconds['runs']:.1f} s; {apart:.1e} apart"
    print(f"volume read CPU: ratio {speed:.1f} (bar {SPEED_BAR}) [{detail}]")  # noqa: T201
    detail = f"{memory['whole']:.0f} MB, {memory['runs']:.0f} MB; in all {step_mb:.0f} MB"
    print(f"volume read memory: ratio {saved:.1f} (bar {MEMORY_BAR}) [{detail}]")  # noqa: T201
    lean = (
        f"{seconds['integers'] / seconds['runs']:.1f} and {memory['integers'] / memory['runs']:.1f}"
    )
    print(f"volume read against whole integers, no bar: CPU and memory {lean}")  # noqa: T201
    is_slow = speed < SPEED_BAR or saved < MEMORY_BAR
    return int(is_slow or step_mb > STEP_BAR_MB or apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
