"""Files of NSD's true sizes and formats with made-up values, for `bench_preparation_memory.py`.

One subject: all its tables, one session of betas (surface and volume), NSD-synthetic, more stimuli
and external images than a shard holds, a lab's folder. A separate call writes each kind:
`python true_nsd.py KIND FOLDER`.
"""

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
from bench_mgh_read import write_surface_session
from bench_volume_read import N_TRIALS, SHAPE, ball, write_session
from PIL import Image
from scipy.io import savemat

from brainit.core.artifacts import write_artifact
from brainit.data.nsd import paths as nsd_paths

SUBJECT, VERSION = "subj01", "betas_fithrf_GLMdenoise_RR"
N_SESSIONS, N_IMAGES, N_PLACES, N_SHARED = 40, 73000, 10000, 1000
N_VERTICES, N_FACES, N_MASKED = 163842, 327680, 19774
SIDE, N_WRITTEN = 425, 4608
N_EXTERNAL = 123403
N_SYNTHETIC_TRIALS, SYNTHETIC_SHAPE, N_COLOUR = 744, (220, 714, 1360, 3), 64
LAB_SESSIONS, LAB_IMAGES, LAB_VOXELS = 4, 2000, 2 * N_MASKED
ALL_TRIALS = N_SESSIONS * N_TRIALS


def placed(folder: Path, key: str) -> Path:
    """Return the path of `key` below `folder`, whose folder exists."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def tables(folder: Path) -> None:
    """Write design, stimulus table, responses, labels, surfaces and ncsnr."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.repeat(np.arange(N_PLACES), ALL_TRIALS // N_PLACES))
    ids = rng.permutation(N_IMAGES)
    shared, own = np.sort(ids[:N_SHARED]), ids[N_SHARED:].reshape(8, -1)
    subject_images = np.stack([np.r_[shared, np.sort(part)] for part in own])
    pattern = np.zeros((N_SESSIONS, 12, 75), dtype=np.uint8)
    for run in range(12):
        pattern[:, run, 3 : 66 - run % 2] = 1
    savemat(
        placed(folder, nsd_paths.EXPDESIGN),
        {
            "masterordering": order[None] + 1.0,
            "sharedix": shared[None] + 1.0,
            "stimpattern": pattern,
            "subjectim": subject_images + 1.0,
        },
    )
    table = pd.DataFrame({"cocoId": np.arange(N_IMAGES), "cocoSplit": "train2017"})
    table["nsdId"], table["shared1000"] = table["cocoId"], np.isin(table["cocoId"], shared)
    repeat = pd.Series(order).groupby(order).cumcount().to_numpy()
    for number, images in enumerate(subject_images, 1):
        shown = np.zeros((N_IMAGES, 3), dtype=np.int64)
        shown[images[order], repeat] = np.arange(ALL_TRIALS) + 1
        for column in range(3):
            table[f"subject{number}_rep{column}"] = shown[:, column]
    table.to_csv(placed(folder, nsd_paths.STIM_INFO))
    session, run, _ = np.nonzero(pattern)
    responses = pd.DataFrame({"SUBJECT": 1, "SESSION": session + 1, "RUN": run + 1})
    responses["73KID"] = subject_images[0][order] + 1
    for name in (
        "TRIAL",
        "10KID",
        "TIME",
        "ISOLD",
        "ISCORRECT",
        "RT",
        "CHANGEMIND",
        "MEMORYRECENT",
    ):
        responses[name] = rng.normal(size=ALL_TRIALS)
    responses.to_csv(placed(folder, nsd_paths.responses(SUBJECT)), sep="\t", index=False)
    for side in nsd_paths.HEMISPHERES:
        label = np.zeros((N_VERTICES, 1, 1), dtype=np.float32)
        label[rng.choice(N_VERTICES, N_MASKED, replace=False)] = 1
        nib.save(
            nib.MGHImage(label, np.eye(4)), placed(folder, nsd_paths.label(side, "nsdgeneral"))
        )
        ncsnr = rng.uniform(0.1, 1, label.shape).astype(np.float32)
        path = placed(folder, nsd_paths.ncsnr(SUBJECT, VERSION, side))
        nib.save(nib.MGHImage(ncsnr, np.eye(4)), path)
        places = rng.normal(size=(N_VERTICES, 3)).astype(np.float32)
        faces = rng.integers(0, N_VERTICES, (N_FACES, 3))
        nib.freesurfer.write_geometry(placed(folder, nsd_paths.pial(side)), places, faces)


def voxels(folder: Path) -> None:
    """Write a voxel table on the surface in the form of `prepare_betas`."""
    rng = np.random.default_rng(0)
    sides = [np.sort(rng.choice(N_VERTICES, N_MASKED, replace=False)) for _ in range(2)]
    n_voxels = 2 * N_MASKED
    write_artifact(
        placed(folder, "voxels.safetensors"),
        "voxels",
        {
            "vertex": np.concatenate(sides),
            "hemisphere": np.repeat(np.arange(2), N_MASKED),
            "position_mm": rng.normal(size=(n_voxels, 3)).astype(np.float32),
            "noise_ceiling": rng.uniform(0, 80, n_voxels).astype(np.float32),
        },
        {"subject": SUBJECT, "space": "fsaverage", "mask": "nsdgeneral", "n_dropped_nan": 0},
    )


def surface(folder: Path) -> None:
    """Write both hemispheres of one session."""
    for seed, side in enumerate(nsd_paths.HEMISPHERES):
        path = placed(folder, nsd_paths.betas(SUBJECT, VERSION, side, 1))
        write_surface_session(path, seed=seed)


def volume(folder: Path) -> None:
    """Write one session in the volume, HDF5 and NIfTI, its region and ncsnr."""
    mask = np.full(SHAPE, -1, dtype=np.int16)
    mask[tuple(ball().xyz.T)] = 1
    roi = placed(folder, nsd_paths.volume_roi(SUBJECT, "nsdgeneral"))
    nib.save(nib.Nifti1Image(mask, np.eye(4)), roi)
    ncsnr = np.random.default_rng(0).uniform(0.1, 1, SHAPE).astype(np.float32)
    path = placed(folder, nsd_paths.volume_ncsnr(SUBJECT, VERSION))
    nib.save(nib.Nifti1Image(ncsnr, np.eye(4)), path)
    write_session(placed(folder, nsd_paths.volume_betas(SUBJECT, VERSION, 1, "hdf5")))
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*SHAPE, N_TRIALS))
    header["vox_offset"] = 352
    rng = np.random.default_rng(1)
    size = int(np.prod(SHAPE))
    # Members of one gzip stream: a few volumes are compressed once and follow each other.
    some = [gzip.compress(rng.integers(-3000, 3000, size, "<i2").tobytes(), 1) for _ in range(10)]
    path = placed(folder, nsd_paths.volume_betas(SUBJECT, VERSION, 1, "nifti"))
    with path.open("wb") as handle:
        handle.write(gzip.compress(header.binaryblock.ljust(352, b"\0")))
        handle.writelines(some[trial % len(some)] for trial in range(N_TRIALS))


def all_sessions(folder: Path) -> None:
    """Write z-scores and summary of all sessions in the form of `prepare_betas`."""
    rng = np.random.default_rng(0)
    session = rng.standard_normal((N_TRIALS, 2 * N_MASKED), dtype=np.float32).astype(np.float16)
    header = {"descr": "<f2", "fortran_order": False, "shape": (ALL_TRIALS, 2 * N_MASKED)}
    with placed(folder, "betas.npy").open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for number in range(N_SESSIONS):
            handle.write(np.roll(session, 7 * number, axis=0).tobytes())
    seen = {"n_nan_voxels": 0, "n_zero_variance": 0, "max_abs_mean": 0.0}
    rows = [{"session": number, **seen} for number in range(1, N_SESSIONS + 1)]
    placed(folder, "betas.json").write_text(json.dumps({"sessions": rows}))


def images(folder: Path) -> None:
    """Write stimuli for more than a shard, and COCO's archive with as many members as the true."""
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)
    with h5py.File(placed(folder, nsd_paths.STIMULI), "w") as handle:
        dataset = handle.create_dataset("imgBrick", (N_WRITTEN, SIDE, SIDE, 3), np.uint8)
        for first in range(0, N_WRITTEN, len(block)):
            dataset[first : first + len(block)] = block
    small, large = _jpeg(rng, (8, 8)), [_jpeg(rng, (640, 480)) for _ in range(16)]
    with zipfile.ZipFile(placed(folder, nsd_paths.COCO_ARCHIVE), "w") as archive:
        for number in range(N_EXTERNAL):
            content = large[number % 16] if number < N_WRITTEN else small
            archive.writestr(f"unlabeled2017/{number:012d}.jpg", content)


def _jpeg(rng: np.random.Generator, size: tuple[int, int]) -> bytes:
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize(size).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def synthetic(folder: Path) -> None:
    """Write NSD-synthetic."""
    rng = np.random.default_rng(0)
    n_images = SYNTHETIC_SHAPE[0] + N_COLOUR
    order = rng.permutation(np.arange(N_SYNTHETIC_TRIALS) % n_images) + 1.0
    pattern = np.zeros((1, 8, 107), dtype=np.uint8)
    pattern[..., :93] = 1
    design = {"masterordering": order[None], "stimpattern": pattern}
    savemat(placed(folder, nsd_paths.SYNTHETIC_DESIGN), design)
    classes = pd.DataFrame({"Image class": [f"class{k % 8}" for k in range(n_images)]})
    classes.to_csv(placed(folder, nsd_paths.SYNTHETIC_CLASSES))
    for key, n in (
        (nsd_paths.SYNTHETIC_STIMULI, SYNTHETIC_SHAPE[0]),
        (nsd_paths.synthetic_colours(SUBJECT), N_COLOUR),
    ):
        with h5py.File(placed(folder, key), "w") as handle:
            shape = (n, *SYNTHETIC_SHAPE[1:])
            dataset = handle.create_dataset("imgBrick", shape, np.uint8)
            for row in range(n):
                dataset[row] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
    for side in nsd_paths.HEMISPHERES:
        path = placed(folder, nsd_paths.synthetic_betas(SUBJECT, VERSION, side))
        write_surface_session(path, N_SYNTHETIC_TRIALS)


def lab(folder: Path) -> None:
    """Write a lab's folder of several sessions with its images in one array."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    n_trials = LAB_SESSIONS * N_TRIALS
    betas = np.lib.format.open_memmap(
        folder / "betas.npy", "w+", np.float32, (n_trials, LAB_VOXELS)
    )
    for first in range(0, n_trials, N_TRIALS):
        shape = (N_TRIALS, LAB_VOXELS)
        betas[first : first + N_TRIALS] = rng.standard_normal(shape, dtype=np.float32)
    shape = (LAB_IMAGES, SIDE, SIDE, 3)
    pixels = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    for row in range(LAB_IMAGES):
        pixels[row] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
    trial = np.arange(n_trials)
    table = pd.DataFrame({"trial": trial, "session": trial // N_TRIALS + 1})
    table["run"], table["image"] = trial % N_TRIALS // 63 + 1, trial % LAB_IMAGES
    table["split"] = np.where(table["image"] < 100, "test", "train")
    table.to_csv(folder / "trials.csv", index=False)


KINDS = {
    kind.__name__: kind
    for kind in (tables, voxels, surface, volume, all_sessions, images, synthetic, lab)
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]))
