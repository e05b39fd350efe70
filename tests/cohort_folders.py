"""Folders of a lab's subjects whose responses follow from the images, and a way to run a cohort.

A cohort's jobs run in this process, one after the other: each would spend more time on imports.
"""

import importlib
import io
import re
import shlex
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

N_RUNS = 12
SIDE = 64


def scene(number: int) -> Image.Image:
    """Return a smooth coloured picture; another number gives another one."""
    colours = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def write_cohort_subject(
    folder: Path, train: Iterable[int], test: Iterable[int], n_voxels: int, seed: int
) -> Path:
    """Write a folder in the lab's layout, in two sessions; test scenes are shown three times.

    A response is a random linear map of the picture, with noise of the same deviation.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    scenes = {f"scene_{number}.png": scene(number) for number in (*train, *test)}
    for name, image in scenes.items():
        image.save(folder / "images" / name)
    tested = [f"scene_{number}.png" for number in test]
    shown = rng.permutation([name for name in scenes if name not in tested] + tested * 3)
    n = len(shown)
    half = (n + 1) // 2
    table = pd.DataFrame({"trial": range(n), "session": 1 + np.arange(n) // half})
    table["run"] = 1 + np.arange(n) % half * N_RUNS // half
    table["image"] = shown
    table["split"] = np.where(np.isin(shown, tested), "test", "train")
    table.to_csv(folder / "trials.csv", index=False)
    small = {name: np.asarray(image.resize((8, 8)), float) for name, image in scenes.items()}
    pixels = np.stack([small[name].ravel() / 255 - 0.5 for name in shown])
    signal = pixels @ rng.normal(size=(pixels.shape[1], n_voxels))
    betas = signal + rng.normal(size=signal.shape) * signal.std()
    np.save(folder / "betas.npy", betas.astype(np.float32))
    return folder


def write_external(folder: Path, n_images: int) -> Path:
    """Write an archive of external images like COCO's into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "unlabeled2017.zip", "w") as archive:
        for number in range(n_images):
            stream = io.BytesIO()
            scene(10_000 + number).save(stream, "JPEG")
            archive.writestr(f"unlabeled2017/{number:012d}.jpg", stream.getvalue())
    return folder


def run_here(jobs: list[dict[str, Any]]) -> None:
    """Run the commands of a dry run's jobs, in its order, in this process and working directory."""
    for job in jobs:
        if not (command := job.get("command")):
            continue
        for path in map(Path, job["output"]):
            path.parent.mkdir(parents=True, exist_ok=True)
        python, dash, module, *words = shlex.split(re.sub(r" &> \S+$", "", command))
        assert (python, dash) == ("python", "-m"), command
        importlib.import_module(module).main(words)
