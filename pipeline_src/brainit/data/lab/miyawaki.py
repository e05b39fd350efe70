"""Import the figures and letters of Miyawaki et al. 2008 (Neuron 60), images of 28 x 28 pixels.

One MATLAB file: `fmriTrn`, `fmriTest` (trials, V1 voxels), `stimTrn`, `stimTest` (trials, 784) in
0..1, column by column, `labelTrn`, `labelTest` (run), `train_indices`, `test_indices` (position in
time). Each trial shows one of 20 geometric figures and letters. Every test figure also occurs in
training (3 to 8 trials), so each trial gets a separate image: a check for images that are in both
sets passes, and scores tell how well a known figure is recognised. Say so beside them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainit.core.errors import PipelineError
from brainit.data.lab.layout import write_subject
from brainit.data.matlab_files import read_mat

SIDE = 28
"""Side of an image in pixels."""
_FIX = "download miyawaki_structured_28x28.mat again and pass its path"
_PARTS = (("fmriTrn", "stimTrn", "labelTrn", "train_indices", "train"),) + (
    ("fmriTest", "stimTest", "labelTest", "test_indices", "test"),
)


def import_miyawaki(source: Path, folder: Path) -> None:
    """Write the subject of the MATLAB file `source`, all trials in session 1, in time order.

    Raises `PipelineError` for an unreadable file, a missing array or unequal trial counts.
    """
    content = _read(source)
    betas, images, runs, time_idx, split = [], [], [], [], []
    for fmri, stimulus, label, index, name in _PARTS:
        arrays = [content[fmri], content[stimulus], content[label].ravel(), content[index].ravel()]
        counts = {len(array) for array in arrays}
        if len(counts) != 1 or arrays[1].shape[1:] != (SIDE * SIDE,):
            shapes = {key: content[key].shape for key in (fmri, stimulus, label, index)}
            expected = f"the same number of rows in each, {stimulus} with {SIDE * SIDE} columns"
            raise PipelineError(
                source,
                expected,
                f"{shapes}",
                "download miyawaki_structured_28x28.mat again",
                code="wrong-shape",
            )
        betas.append(arrays[0])
        pixels = arrays[1].reshape(-1, SIDE, SIDE).transpose(0, 2, 1)
        images.append(np.rint(255 * pixels).astype(np.uint8))
        runs.append(arrays[2].astype(np.int64))
        time_idx.append(arrays[3].astype(np.int64))
        split += [name] * len(arrays[0])
    order = np.argsort(np.concatenate(time_idx))
    run = np.concatenate(runs)[order]
    trials = pd.DataFrame(
        {"trial": np.arange(len(order)), "session": 1, "run": run - run.min() + 1}
    )
    trials["image"] = trials["trial"]
    trials["split"] = np.array(split)[order]
    write_subject(folder, np.concatenate(betas)[order], trials, np.concatenate(images)[order])


def _read(source: Path) -> dict[str, Any]:
    names = [name for part in _PARTS for name in part[:4]]
    content = read_mat(source, _FIX)
    missing = [name for name in names if name not in content]
    if missing:
        raise PipelineError(
            source,
            f"arrays {names}",
            f"no {missing}",
            "pass the file of 28 x 28 pixels, miyawaki_structured_28x28.mat",
            code="missing-data",
        )
    return content
