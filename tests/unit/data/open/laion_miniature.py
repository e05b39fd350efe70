"""A small LAION-fMRI in its documented layout: bucket, images, lists, with the arrays beside it."""

import gzip
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
from PIL import Image

from brainit.data.open.laion import LaionImport

SHAPE = (7, 6, 5)
AFFINE = np.array([[-1.8, 0, 0, 6], [0, 1.8, 0, -4], [0, 0, 1.8, 2], [0, 0, 0, 1.0]])
BLANK = "shared_4rep_OOD_unusual_Screenshot 2024-05-06 at 14.45.09.jpg"
BEFORE_SUFFIX = "shared_4rep_OOD_unusual_fruit-and-vegetables .jpg"
PNG = "shared_4rep_OOD_shape_star.png"
TRAIN = [f"unique_LAION_new_cluster_{n}_i0_p01.jpg" for n in range(6)]
TEST = ["shared_12rep_THINGS+_kmeans_0_balloon.jpg", "shared_12rep_LAION_cluster_1003_i0.jpg"]
NAMES = [*TRAIN, *TEST, BLANK, BEFORE_SUFFIX, PNG]
SESSION_KEY = "derivatives/glmsingle-tedana/sub-01/ses-{0:02d}/func/sub-01_ses-{0:02d}_task-images_"
BETAS = SESSION_KEY + "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
TRIALS = SESSION_KEY + "desc-SingletrialBetas_trials.tsv"
MASK = "derivatives/rois/sub-01/laion/sub-01_space-T1w_res-1pt8_label-{}_mask.nii.gz"
CEILING = (
    "derivatives/glmsingle-tedana/sub-01/sub-01_task-images_space-T1w"
    "_desc-Noiseceiling12rep_statmap.nii.gz"
)


@dataclass
class Miniature:
    """The files, and the arrays they were written from."""

    bucket: Path
    images: Path
    lists: Path
    volumes: dict[int, np.ndarray]
    """Betas of each session (x, y, z, trials) as a reader shall see them, float64."""
    labels: dict[int, list[str]]
    mask: np.ndarray
    ceiling: np.ndarray
    encoded: dict[str, bytes]


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


def write_scaled(path: Path, stored: np.ndarray, slope: float, inter: float) -> None:
    """Write integers with a slope and an intercept in the header, as scanners do."""
    header = nib.Nifti1Header()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_sform(AFFINE, code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header["scl_slope"], header["scl_inter"] = slope, inter
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") as handle:
        handle.write(header.binaryblock + b"\0" * 4 + stored.tobytes(order="F"))


def shown_labels(session: int) -> list[str]:
    """Training images twice, test images three times, the rest once; shuffled."""
    labels = [*TRAIN * 2, *TEST * 3, BLANK, BEFORE_SUFFIX, PNG]
    return [labels[i] for i in np.random.default_rng(session).permutation(len(labels))]


def trial_table(session: int, labels: list[str]) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "session": f"ses-{session:02d}",
            "run": [f"run-{1 + 4 * i // n:02d}" for i in range(n)],
            "beta_index": range(n),
            "label": labels,
        }
    )


def write_session(mini: Miniature, session: int, label_of_mask: str = "laiongeneral") -> None:
    """Write float32 in session 1, scaled int16 in session 2; a voxel is NaN in session 2 alone."""
    rng = np.random.default_rng([7, session])
    labels = shown_labels(session)
    signal = {name: np.random.default_rng(i).normal(size=SHAPE) for i, name in enumerate(NAMES)}
    values = np.stack([signal[name] for name in labels], axis=3)
    values = 40 + 3 * values + rng.normal(size=values.shape)
    values[mini.mask == 0] = 0
    path = mini.bucket / BETAS.format(session)
    if session == 2:
        stored = np.round(values / 0.01 - 5).astype(np.int16)
        write_scaled(path, stored, 0.01, 0.05)
        slope, inter = np.float32(0.01), np.float32(0.05)
        values = stored * np.float64(slope) + np.float64(inter)
    else:
        values = values.astype(np.float32)
        values[tuple(np.argwhere(mini.mask)[3])] = np.nan
        write_nifti(path, values)
    mini.volumes[session], mini.labels[session] = values.astype(np.float64), labels
    table = trial_table(session, labels)
    table.to_csv(mini.bucket / TRIALS.format(session), sep="\t", index=False)


def encoded_image(number: int, name: str) -> bytes:
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    if name == PNG:
        pixels = rng.integers(0, 256, (16, 16, 4), dtype=np.uint8)
        pixels[:8, :, 3], pixels[8:, :, 3] = 0, 255
        Image.fromarray(pixels, "RGBA").save(buffer, "PNG")
    else:
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_images_file(mini: Miniature) -> None:
    """Write rows of encoded files, in another order than any table's, and their table."""
    names = sorted([*NAMES, "unique_LAION_new_cluster_0_i0_p04.jpg"], key=lambda n: n[::-1])
    mini.encoded = {name: encoded_image(i, name) for i, name in enumerate(names)}
    mini.images.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(mini.images, "w") as handle:
        kind = h5py.vlen_dtype(np.uint8)
        rows = handle.create_dataset("images", (len(names),), dtype=kind)
        for row, name in enumerate(names):
            rows[row] = np.frombuffer(mini.encoded[name], np.uint8)
    table = pd.DataFrame({"image_name": names, "dataset": "x", "participant": "p"})
    table["unique_or_shared"], table["n_reps"] = "shared", "12rep"
    table.to_csv(mini.images.with_name("task-images_metadata.csv"), index=False)


def write_list(folder: Path, train: list[str], test: list[str], name: str = "tau") -> None:
    content: dict[str, Any] = {"name": name, "pool": "sub-01", "splitter": "s", "params": {}}
    content |= {"n_train": len(train), "n_test": len(test)}
    content["variants"] = [{"variant_id": 0, "train_ids": train, "test_ids": test}]
    (folder / "sub-01").mkdir(parents=True, exist_ok=True)
    (folder / f"sub-01/{name}.json").write_text(json.dumps(content))


def write_miniature(root: Path, sessions: tuple[int, ...] = (1, 2)) -> Miniature:
    rng = np.random.default_rng(3)
    mask = (rng.random(SHAPE) < 0.3).astype(np.uint8)
    ceiling = (rng.random(SHAPE) * 90).astype(np.float32)
    images = root / "images/task-images_stimuli.h5"
    mini = Miniature(root / "bucket", images, root / "lists", {}, {}, mask, ceiling, {})
    for session in sessions:
        write_session(mini, session)
    write_nifti(mini.bucket / MASK.format("laion-general"), mask)
    other = mini.bucket / MASK.format("FFA-1").replace("res-1pt8", "res-1pt5")
    write_nifti(other, np.ones((3, 3, 3), np.uint8))
    write_nifti(mini.bucket / MASK.format("FFA-1"), (rng.random(SHAPE) < 0.1).astype(np.uint8))
    write_nifti(mini.bucket / CEILING, ceiling)
    stray = mini.bucket / "derivatives/glmsingle-tedana/sub-03/ses-01/func"
    stray.mkdir(parents=True)
    (stray / Path(BETAS.format(1)).name.replace("sub-01", "sub-03")).write_bytes(b"another's")
    write_images_file(mini)
    write_list(mini.lists, TRAIN, TEST)
    return mini


def wanted(laion: Miniature, **changes: Any) -> LaionImport:
    """Return the import of the miniature from its folder."""
    base = LaionImport(
        source=str(laion.bucket),
        subject="sub-01",
        sessions=None,
        masks=("laiongeneral",),
        split="tau",
        pool="sub-01",
        split_source=str(laion.lists),
        split_commit="abc",
        images=laion.images,
        request=None,
        accepts_terms=False,
    )
    return replace(base, **changes)
