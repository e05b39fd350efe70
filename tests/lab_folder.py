"""A small valid folder in the lab layout, to read and to break."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

N_TRIALS, N_VOXELS = 24, 7


def lab_trials() -> pd.DataFrame:
    """Two sessions; images a..l shown once (train), x, y, z, w shown three times (test)."""
    once = [f"{name}.png" for name in "abcdefghijkl"]
    often = [f"{name}.jpg" for name in "xyzw"] * 3
    shown = [name for pair in zip(once, often, strict=True) for name in pair]
    return pd.DataFrame(
        {
            "trial": range(N_TRIALS),
            "session": np.repeat([1, 2], N_TRIALS // 2),
            "run": np.tile(np.repeat([1, 2, 3, 4], 3), 2),
            "image": shown,
        }
    )


def lab_voxels() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "in_mask": [1, 1, 0, 1, 1, 1, 1],
            "x_mm": np.linspace(-30, 30, N_VOXELS),
            "y_mm": np.linspace(-90, -60, N_VOXELS),
            "z_mm": np.linspace(0, 12, N_VOXELS),
            "hemisphere": [0, 0, 0, 0, 1, 1, 1],
            "vertex": [5, 9, 11, 40, 2, 3, 8],
            "noise_ceiling": [0, 10, 20, 30, 40, 50, 100],
            "roi": list("vvvwwww"),
        }
    )


def write_lab_folder(folder: Path, dtype: str = "float32") -> Path:
    """Write the folder: images of several sizes and modes; a NaN in column 2, outside the mask."""
    rng = np.random.default_rng(5)
    (folder / "images").mkdir(parents=True)
    betas = rng.normal(3.0, 2.0, (N_TRIALS, N_VOXELS))
    betas[4, 2] = np.nan
    np.save(folder / "betas.npy", betas.astype(dtype))
    lab_trials().to_csv(folder / "trials.csv", index=False)
    lab_voxels().to_csv(folder / "voxels.csv", index=False)
    for number, name in enumerate(sorted(set(lab_trials()["image"]))):
        shape = (10 + number, 16) if number % 2 else (12, 12 + number, 3)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder
