"""Load examples for training: betas and their images, of one subject or a pool (paper 5.1).

Files hold single trials and loaders average repeats, so that one file serves every setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.reading import open_npy
from brainit.core.settings import NsdSettings
from brainit.core.streams import numpy_generator
from brainit.data.trials import in_duration, read_trials

_IMAGES_PER_BLOCK = 512
_FIX = "delete it and rerun prepare_betas"


@dataclass(frozen=True)
class SubjectFmri:
    """Examples of one subject: betas (examples, voxels) as z-scores, and the image of each.

    `n_repeats` is the number of trials averaged in each example.
    """

    subject: str
    betas: NDArray[np.float16]
    nsd_id: NDArray[np.int64]
    n_repeats: NDArray[np.int64]

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(self.betas.shape[1])


@dataclass(frozen=True)
class FmriPool:
    """Training and validation examples of the subjects that train a model."""

    subjects: tuple[str, ...]
    train: dict[str, SubjectFmri]
    val: dict[str, SubjectFmri]

    @property
    def n_voxels(self) -> dict[str, int]:
        """Number of voxels of each subject, in order."""
        return {subject: self.train[subject].n_voxels for subject in self.subjects}

    @property
    def voxel_slices(self) -> dict[str, slice]:
        """Slice of each subject's voxels in the concatenation of all subjects."""
        slices, start = {}, 0
        for subject, n_voxels in self.n_voxels.items():
            slices[subject] = slice(start, start + n_voxels)
            start += n_voxels
        return slices


def open_betas(path: Path, n_trials: int) -> NDArray[np.float16]:
    """Memory-map betas of axes (trials, voxels).

    Raises `PipelineError` for a missing or truncated file and for another dtype or trial count.
    """
    betas = open_npy(path, "a readable .npy of betas", _FIX, missing="rerun prepare_betas")
    if betas.dtype != np.float16 or betas.ndim != 2 or len(betas) != n_trials:
        raise PipelineError(
            path,
            f"float16 betas of axes (trials, voxels) with {n_trials} trials, as in the trial table",
            f"{betas.dtype} of shape {betas.shape}",
            "delete it and rerun prepare_design and prepare_betas",
            code="wrong-shape",
        )
    return betas


def load_subject_fmri(
    subject: str,
    betas_path: Path,
    trials_path: Path,
    splits: tuple[str, ...],
    duration: str,
    average: bool,
) -> SubjectFmri:
    """Load the betas of the trials in `splits` and `duration`.

    With `average`, repeats within the duration are averaged in float32, one example per image in
    ascending nsd_id; without, each trial is an example, in time order. Raises `PipelineError` where
    betas and trial table disagree, betas are not finite, or no trial remains.
    """
    trials = read_trials(trials_path)
    betas = open_betas(betas_path, len(trials))
    chosen = trials["split"].isin(splits).to_numpy(dtype=bool) & in_duration(trials, duration)
    if not chosen.any():
        raise PipelineError(
            trials_path,
            f"trials of split {splits} within {duration}",
            "none",
            "set nsd.validation_share between 0 and 1 and nsd.test_set to images that were shown",
            code="missing-data",
        )
    rows, nsd_id, n_repeats = _examples(trials[chosen], average)
    values = _averaged(betas, rows, n_repeats)
    if not np.isfinite(values).all():
        raise PipelineError(betas_path, "finite betas", "NaN or infinity", _FIX, code="bad-values")
    return SubjectFmri(subject, values, nsd_id, n_repeats)


def _examples(
    trials: pd.DataFrame, average: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return trial rows grouped by example, and the image and number of trials of each example."""
    rows = trials["trial"].to_numpy(dtype=np.int64)
    nsd_id = trials["nsd_id"].to_numpy(dtype=np.int64)
    if not average:
        return rows, nsd_id, np.ones(len(rows), dtype=np.int64)
    rows = rows[np.argsort(nsd_id, kind="stable")]
    images, n_repeats = np.unique(nsd_id, return_counts=True)
    return rows, images, n_repeats.astype(np.int64)


def _averaged(
    betas: NDArray[np.float16], rows: NDArray[np.int64], n_repeats: NDArray[np.int64]
) -> NDArray[np.float16]:
    """Average consecutive groups of `rows`, with one block at a time in float32."""
    if n_repeats.max() == 1:
        return np.asarray(betas[rows])
    starts = np.concatenate([[0], np.cumsum(n_repeats)])
    out = np.empty((len(n_repeats), betas.shape[1]), dtype=np.float16)
    for first in range(0, len(n_repeats), _IMAGES_PER_BLOCK):
        last = min(first + _IMAGES_PER_BLOCK, len(n_repeats))
        block = betas[rows[starts[first] : starts[last]]].astype(np.float32)
        with np.errstate(invalid="ignore"):  # the caller rejects infinities
            sums = np.add.reduceat(block, starts[first:last] - starts[first], axis=0)
        out[first:last] = sums / n_repeats[first:last, None].astype(np.float32)
    return out


def load_pool(
    betas: Mapping[str, Path],
    trials: Mapping[str, Path],
    nsd: NsdSettings,
    duration: str = "40h",
    seed: int = 0,
) -> FmriPool:
    """Load training and validation examples of the subjects in `betas`, in its order.

    At 40h, `nsd.average_training_repeats` averages repeats; shorter durations keep single trials
    (released code). With `nsd.pairing: shuffled`, each example gets the image of another example of
    its subject and split, drawn by `seed`. Raises `PipelineError` where `betas` and `trials` name
    different subjects.
    """
    if set(betas) != set(trials):
        raise PipelineError(
            "--betas and --trials",
            "the same subjects",
            f"{sorted(betas)} and {sorted(trials)}",
            "pass --betas and --trials for each subject",
            code="inconsistent-inputs",
        )
    average = nsd.average_training_repeats and duration == "40h"
    loaded = {
        split: {
            subject: load_subject_fmri(
                subject, betas[subject], trials[subject], (split,), duration, average
            )
            for subject in betas
        }
        for split in ("train", "val")
    }
    if nsd.pairing == "shuffled":
        loaded = {
            split: {subject: mismatched(fmri, seed, split) for subject, fmri in examples.items()}
            for split, examples in loaded.items()
        }
    return FmriPool(tuple(betas), loaded["train"], loaded["val"])


def mismatched(fmri: SubjectFmri, seed: int, split: str) -> SubjectFmri:
    """Return the same betas, each with the image of another example: one random cycle."""
    order = numpy_generator(seed, "mismatched_trials", fmri.subject, split).permutation(
        len(fmri.nsd_id)
    )
    nsd_id = np.empty_like(fmri.nsd_id)
    nsd_id[order] = fmri.nsd_id[np.roll(order, 1)]
    return replace(fmri, nsd_id=nsd_id)
