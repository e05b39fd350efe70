"""A step in its own process, which a test may signal, and a small subject for it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.shards import write_shards
from brainit.data.trials import write_trials


def write_small_subject(folder: Path, n_images: int, n_train: int, n_voxels: int) -> None:
    """Write `stimuli/`, `betas.npy` and `trials.csv`; the images after `n_train` validate."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n_images, 64, 64, 3), dtype=np.uint8)
    write_shards(folder / "stimuli", iter([pixels]))
    np.save(folder / "betas.npy", rng.normal(size=(n_images, n_voxels)).astype(np.float16))
    number = np.arange(n_images)
    columns = {"trial": number, "session": 1, "run": 1, "trial_in_session": number, "repeat": 0}
    columns |= {"nsd_id": number, "is_shared": False, "split": "train"}
    trials = pd.DataFrame(columns)
    trials.loc[number >= n_train, "split"] = "val"
    write_trials(folder / "trials.csv", trials)


def start_module(repository: Path, *words: str) -> subprocess.Popen[str]:
    """Start `python -m WORDS...` on this repository's package; its stderr is a pipe of text."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": str(repository / "pipeline_src")},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's stderr up to a line with this text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            break
