"""Betas at the mask's vertices: span read of each frame against nibabel's whole float64 array.

One hemisphere and session of the true size: 163,842 vertices of fsaverage, 750 frames of float32
(491.5 MB), a mask of 19,004 vertices. Each way runs in separate processes, in turns, on a file
that was just dropped from the page cache: least processor and wall seconds of the rounds, largest
peak memory. The wall time is held against a plain read of the same bytes, as cold.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from process_memory import peak_mb, printed_by

from brainit.data.nsd.mgh import DATA_OFFSET, read_mgh_vertices

CPU_BAR, MEMORY_BAR, COLD_BAR = 2.5, 3.0, 2.0
N_VERTICES, N_FRAMES, N_MASKED = 163842, 750, 19004
ROUNDS = {"span": 9, "raw": 9, "whole": 3}
RAW_BLOCK_BYTES = 1 << 20


def mask_vertices() -> np.ndarray:
    """Return vertices drawn over the whole hemisphere: the longest span that a mask can have."""
    chosen = np.random.default_rng(0).choice(N_VERTICES, N_MASKED, replace=False)
    return np.sort(chosen).astype(np.int64)


def write_surface_session(path: Path, n_frames: int = N_FRAMES, seed: int = 1) -> None:
    """Write a hemisphere's file frame by frame below nibabel's own header."""
    header = nib.MGHImage(np.zeros((N_VERTICES, 1, 1, 1), np.float32), np.eye(4)).header.copy()
    header["dims"] = (N_VERTICES, 1, 1, n_frames)
    rng = np.random.default_rng(seed)
    with path.open("wb") as handle:
        header.writehdr_to(handle)
        handle.write(bytes(DATA_OFFSET - handle.tell()))
        for _ in range(n_frames):
            handle.write(rng.standard_normal(N_VERTICES, dtype=np.float32).astype(">f4").tobytes())
        header.writeftr_to(handle)
        handle.flush()
        os.fsync(handle.fileno())


def whole(path: Path, vertices: np.ndarray) -> np.ndarray:
    """Read as nibabel is commonly used: all as float64, then the mask."""
    return nib.load(path).get_fdata()[vertices, 0, 0].T.astype(np.float32)


def raw(path: Path, vertices: np.ndarray) -> np.ndarray:
    """Read the bytes in order and do nothing with them."""
    block = bytearray(RAW_BLOCK_BYTES)
    with path.open("rb", buffering=0) as handle:
        while handle.readinto(block):
            pass
    return np.empty(0, np.float32)


WAYS = {"span": read_mgh_vertices, "whole": whole, "raw": raw}


def measure(kind: str, path: Path) -> tuple[float, float, float]:
    """Return processor seconds, wall seconds and peak MB of one way, in a new process, cold."""
    with path.open("rb") as handle:
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    cpu_s, wall_s, peak = printed_by(__file__, kind, str(path))
    return cpu_s, wall_s, peak


def child(kind: str, path: Path) -> None:
    """Run one way, print its time and memory, and keep its values."""
    vertices, cpu, wall = mask_vertices(), time.process_time(), time.perf_counter()
    values = WAYS[kind](path, vertices)
    print(time.process_time() - cpu, time.perf_counter() - wall, peak_mb())  # noqa: T201
    np.save(path.with_name(f"{kind}.npy"), values)


def report(what: str, ratio: float, bar: str, detail: str) -> None:
    """Print one ratio."""
    print(f"mgh_read {what}: ratio {ratio:.1f} (bar {bar}) [{detail}]")  # noqa: T201


def main() -> int:
    """Print the three ratios; return 1 where one misses its bar."""
    if sys.argv[1:]:
        child(sys.argv[1], Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lh.betas_session01.mgh"
        write_surface_session(path)
        found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in WAYS}
        for number in range(max(ROUNDS.values())):
            for kind in (kind for kind in WAYS if number < ROUNDS[kind]):
                found[kind].append(measure(kind, path))
        arrays = [np.load(path.with_name(f"{kind}.npy")) for kind in ("span", "whole")]
    np.testing.assert_array_equal(*arrays)
    cpu_s, wall_s = ({k: min(row[i] for row in rows) for k, rows in found.items()} for i in (0, 1))
    peak = {kind: max(row[2] for row in rows) for kind, rows in found.items()}
    speed, saved = cpu_s["whole"] / cpu_s["span"], peak["whole"] / peak["span"]
    cold = wall_s["span"] / wall_s["raw"]
    report("CPU", speed, f"{CPU_BAR}", f"{cpu_s['whole']:.2f} s, {cpu_s['span']:.2f} s")
    report("peak memory", saved, f"{MEMORY_BAR}", f"{peak['whole']:.0f} MB, {peak['span']:.0f} MB")
    detail = f"{wall_s['span']:.2f} s, {wall_s['raw']:.2f} s; get_fdata {wall_s['whole']:.2f} s"
    report("cold, of a raw read", cold, f"at most {COLD_BAR}", detail)
    return int(speed < CPU_BAR or saved < MEMORY_BAR or cold > COLD_BAR)


if __name__ == "__main__":
    sys.exit(main())
