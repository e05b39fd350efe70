"""Random batches of 128 trials x 40,000 voxels: the .npy of betas against memory and HDF5.

6,000 trials of float16 (480 MB), the store opened as training opens it. Warm page cache; wall
seconds per batch, least of interleaved rounds. The HDF5 file has a chunk per trial and is read by
sorted fancy indexing.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from brainit.data.fmri import open_betas

N_TRIALS, N_VOXELS, N_BATCH, ROUNDS, SLOW_ROUNDS = 6000, 40000, 128, 9, 3
MEMORY_BAR, HDF5_BAR = 3.0, 50.0


def wall_s(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> int:
    """Print both ratios; return 1 where one misses its bar."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((N_TRIALS, N_VOXELS), dtype=np.float32).astype(np.float16)
    with tempfile.TemporaryDirectory() as folder:
        npy, hdf5 = Path(folder) / "betas.npy", Path(folder) / "betas.hdf5"
        np.save(npy, values)
        with h5py.File(hdf5, "w") as handle:
            handle.create_dataset("betas", data=values, chunks=(1, N_VOXELS))
        store, in_memory = open_betas(npy, N_TRIALS), torch.from_numpy(values)
        store.sum(dtype=np.float32)  # warm
        times: dict[str, list[float]] = {"store": [], "memory": [], "hdf5": []}
        with h5py.File(hdf5) as handle:
            dataset = handle["betas"]
            for number in range(ROUNDS):
                rows = rng.permutation(N_TRIALS)[:N_BATCH]
                index, ordered = torch.from_numpy(rows), np.sort(rows)
                np.testing.assert_array_equal(store[rows], in_memory[index].numpy())
                times["store"].append(wall_s(lambda rows=rows: store[rows]))
                times["memory"].append(
                    wall_s(lambda index=index: torch.index_select(in_memory, 0, index))
                )
                if number < SLOW_ROUNDS:
                    times["hdf5"].append(wall_s(lambda ordered=ordered: dataset[ordered]))
    best = {name: min(found) for name, found in times.items()}
    over_memory, over_hdf5 = best["store"] / best["memory"], best["hdf5"] / best["store"]
    detail = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in best.items())
    print(f"batch load: {over_memory:.2f} of memory (bar {MEMORY_BAR}) [{detail}]")  # noqa: T201
    print(f"batch load: {over_hdf5:.0f} over HDF5 (bar {HDF5_BAR})")  # noqa: T201
    return int(over_memory > MEMORY_BAR or over_hdf5 < HDF5_BAR)


if __name__ == "__main__":
    sys.exit(main())
