"""Write files in NSD's formats (names: `data.nsd.paths`)."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from brainit.core.files import atomic_path
from brainit.simulation.experiment import N_RUNS, Design, stimulus_pattern

_N_SUBJECTS = 8
_MAT_HEADER_BYTES = 116
_ZIP_DATE = (2017, 1, 1, 0, 0, 0)


def write_mgh(path: Path, values: NDArray[np.float32]) -> None:
    """Write (frames, vertices) as NSD's betas: (vertices, 1, 1, frames), big-endian float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.ascontiguousarray(values.T[:, None, None, :], dtype=">f4")
    data = data[..., 0] if len(values) == 1 else data
    nib.save(nib.MGHImage(data, np.eye(4)), path)


def write_surface(path: Path, position_mm: NDArray[np.float32], faces: NDArray[np.int64]) -> None:
    """Write a FreeSurfer surface."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.freesurfer.write_geometry(path, position_mm, faces, create_stamp="simulation")


def write_annotation(path: Path, labels: NDArray[np.int64]) -> None:
    """Write a FreeSurfer annotation of parcels 0, 1, 2, ..., each with a different colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = np.arange(labels.max() + 1)
    colours = np.stack([number % 256, number // 256, 255 - number % 256, 0 * number], axis=1)
    names = [f"parcel_{i}" for i in number]
    nib.freesurfer.write_annot(path, labels, colours, names, fill_ctab=True)


def write_mat(path: Path, values: dict[str, NDArray[Any]]) -> None:
    """Write a MATLAB 5 file without a date in its header, so that its bytes repeat."""
    savemat(path, values)
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 5.0 MAT-file, simulation".ljust(_MAT_HEADER_BYTES))


def write_expdesign(path: Path, design: Design) -> None:
    """Write `nsd_expdesign.mat`; all indices are 1-based."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = np.tile(np.arange(1, 4)[:, None], (1, design.n_sessions))
    write_mat(
        path,
        {
            "basiccnt": counts.astype(np.float64),
            "masterordering": (design.order + 1)[None].astype(np.uint16),
            "sharedix": (design.shared + 1)[None].astype(np.uint32),
            "stimpattern": stimulus_pattern(design),
            "subjectim": (design.lists + 1).astype(np.uint32),
        },
    )


def trial_numbers(design: Design, number: int, n_repeats: int) -> NDArray[np.int64]:
    """Return (images, repeats): the 1-based trial of each presentation to a subject, 0 for none."""
    numbers = np.zeros((design.n_images, n_repeats), dtype=np.int64)
    seen = np.zeros(design.n_images, dtype=np.int64)
    for trial, image in enumerate(design.nsd_ids(number), start=1):
        numbers[image, seen[image]] = trial
        seen[image] += 1
    return numbers


def write_stim_info(path: Path, design: Design, n_repeats: int) -> None:
    """Write `nsd_stim_info_merged.csv`: `nsdId` 0-based, repeat columns 1-based trials."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.arange(design.n_images)
    table = pd.DataFrame(
        {
            "cocoId": ids + 500_000,
            "cocoSplit": "train2017",
            "cropBox": "(0.0, 0.0, 0.0, 0.0)",
            "loss": 0.0,
            "nsdId": ids,
            "flagged": False,
            "BOLD5000": False,
            "shared1000": np.isin(ids, design.shared),
        }
    )
    columns: dict[str, NDArray[np.int64]] = {}
    not_shown = np.zeros((design.n_images, n_repeats), dtype=np.int64)
    for number in range(_N_SUBJECTS):
        is_real = number < len(design.own)
        shown = trial_numbers(design, number, n_repeats) if is_real else not_shown
        columns[f"subject{number + 1}"] = np.asarray(np.any(shown > 0, axis=1), dtype=np.int64)
        for repeat in range(n_repeats):
            columns[f"subject{number + 1}_rep{repeat}"] = shown[:, repeat]
    order = [f"subject{n + 1}" for n in range(_N_SUBJECTS)]
    order += [f"subject{n + 1}_rep{r}" for n in range(_N_SUBJECTS) for r in range(n_repeats)]
    pd.concat([table, pd.DataFrame({name: columns[name] for name in order})], axis=1).to_csv(path)


def write_responses(path: Path, design: Design, number: int) -> None:
    """Write a subject's `responses.tsv`: one row per trial, ids 1-based, no behaviour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n_trials = len(design.order)
    in_session = np.arange(n_trials) % design.trials_per_session
    run = np.searchsorted(np.cumsum(design.trials_of_run), in_session, side="right") + 1
    starts = np.concatenate([[0], np.cumsum(design.trials_of_run)])
    ids = design.nsd_ids(number)
    seen = pd.Series(ids).groupby(ids).cumcount().to_numpy()
    table = pd.DataFrame(
        {
            "SUBJECT": number + 1,
            "SESSION": np.arange(n_trials) // design.trials_per_session + 1,
            "RUN": run,
            "TRIAL": in_session - starts[run - 1] + 1,
            "73KID": ids + 1,
            "10KID": design.order + 1,
            "TIME": np.arange(n_trials) * 4.0,
            "ISOLD": (seen > 0).astype(int),
        }
    )
    for name in ("ISCORRECT", "RT", "CHANGEMIND", "BUTTON"):
        table[name] = "NaN"
    table["MISSINGDATA"] = 1
    table.to_csv(path, sep="\t", index=False)
    if run.max() > N_RUNS:
        raise ValueError("more runs than a session has")


def write_stimuli(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write images as `imgBrick` (images, side, side, 3) uint8, one chunk per image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", track_order=False) as handle:
        handle.create_dataset(
            "imgBrick", data=pixels, chunks=(1, *pixels.shape[1:]), track_times=False
        )


def write_archive(path: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Write a COCO-style zip of JPEGs `unlabeled2017/000000000001.jpg`, ..., with fixed dates."""
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for number, pixels in enumerate(images, start=1):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
            member = zipfile.ZipInfo(f"unlabeled2017/{number:012d}.jpg", date_time=_ZIP_DATE)
            archive.writestr(member, buffer.getvalue())
