"""A small subject of MOSAIC in its documented layout, with the arrays beside it."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
from PIL import Image

N, N_LEFT, N_CORTEX, N_MESH = 91_282, 29_696, 59_412, 32_492
SUBJECT = "sub-02_BOLD5000"
FOLDER = "fMRIPrepv23_2_0/task_fMRI/betas/GLMsinglev1_2/BOLD5000"
REPEATS = {"a.b": 1, "b c": 1, "c": 2, "d": 1, "near": 1, "t_1": 3, "t_2": 2}
TESTED = ("t_1", "t_2")
ARTIFICIAL = "003"
"""A test image that is no photograph: shown twice, in no natural list, without a picture."""
INFINITE, MISSING = 70, 40_000
"""Places of cortex with an Inf and a NaN in one trial."""


@dataclass
class Mosaic:
    """The files, and the values of each trial by name."""

    root: Path
    bucket: Path
    file: Path
    values: dict[str, np.ndarray]
    ceiling: np.ndarray
    order: list[tuple[int, int, str]]
    """Session, run and stem of each presentation in time order."""


def trial_name(stem: str, rep: int) -> str:
    phase = "test" if stem in (*TESTED, ARTIFICIAL) else "train"
    return f"{SUBJECT}_stimulus-{stem}_phase-{phase}_rep-{rep}"


def write_hdf5(mosaic: Mosaic) -> None:
    """Write test trials first, then training, by stimulus and repeat, as the authors' scripts."""
    mosaic.file.parent.mkdir(parents=True)
    with h5py.File(mosaic.file, "w", track_order=True) as handle:
        handle.attrs["dataset_name"] = "BOLD5000"
        betas = handle.create_group("betas", track_order=True)
        for name in sorted(mosaic.values, key=lambda name: "phase-train" in name):
            dataset = betas.create_dataset(name, data=mosaic.values[name])
            dataset.attrs["phase"] = "test" if "phase-test" in name else "train"
        ceilings = handle.create_group("noiseceilings")
        name = f"{SUBJECT}_phase-test_n-1_noiseceiling"
        ceilings.create_dataset(name, data=mosaic.ceiling).attrs["n"] = "1"


def write_events(mosaic: Mosaic) -> None:
    """Write BIDS events of two sessions of two runs, with blanks, in files out of order."""
    folder = mosaic.root / "events/sub-02"
    folder.mkdir(parents=True)
    for session in (2, 1):
        for run in (1, 2):
            shown = [stem for s, r, stem in mosaic.order if (s, r) == (session, run)]
            table = pd.DataFrame({"onset": np.arange(len(shown)) * 10.0, "stim_file": shown})
            table["stim_file"] = [f"scenes/{stem}.jpg" for stem in shown]
            table.loc[len(table)] = [3.0, "n/a"]
            name = f"sub-02_ses-{session:02d}_task-5000scenes_run-{run:02d}_events.tsv"
            table[::-1].to_csv(folder / name, sep="\t", index=False)
    other = "sub-02_ses-01_task-localizer_run-01_events.tsv"
    pd.DataFrame({"onset": [0.0], "trial_type": ["x"]}).to_csv(folder / other, sep="\t")


def write_geometry(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Write vertex numbers and meshes; return the vertex of each place and the meshes."""
    rng = np.random.default_rng(8)
    folder.mkdir(parents=True)
    sides = [np.sort(rng.choice(N_MESH, n, replace=False)) for n in (N_LEFT, N_CORTEX - N_LEFT)]
    np.savez(folder / "fMRI_vertex_info_32k.npz", grayl=sides[0], grayr=sides[1])
    meshes = {}
    for side in "LR":
        meshes[side] = rng.normal(size=(N_MESH, 3)).astype(np.float32)
        arrays = [
            nib.gifti.GiftiDataArray(meshes[side], "NIFTI_INTENT_POINTSET"),
            nib.gifti.GiftiDataArray(np.zeros((1, 3), np.int32), "NIFTI_INTENT_TRIANGLE"),
        ]
        name = f"S1200.{side}.midthickness_MSMAll.32k_fs_LR.surf.gii"
        nib.save(nib.gifti.GiftiImage(darrays=arrays), folder / name)
    return np.concatenate(sides), meshes


def write_lists(folder: Path) -> None:
    """Write the lists; near and its like are in none."""
    folder.mkdir(parents=True)
    sides = {
        "train_naturalistic": ["a.b", "b c", "c", "d"],
        "test_naturalistic": list(TESTED),
        "test_artificial": [ARTIFICIAL],
    }
    for name, stems in sides.items():
        content = [
            {f"{SUBJECT}_stimulus-{stem}": [f"{trial_name(stem, r)}.npz" for r in range(n)]}
            for stem, n in {**REPEATS, ARTIFICIAL: 2}.items()
            if stem in stems
        ]
        (folder / f"{name}.json").write_text(json.dumps(content))


def write_mosaic(root: Path) -> Mosaic:
    rng = np.random.default_rng(4)
    repeats = {**REPEATS, ARTIFICIAL: 2}
    names = [trial_name(stem, rep) for stem, n in repeats.items() for rep in range(n)]
    values = {name: rng.normal(size=N) for name in names}
    values[trial_name("c", 1)][INFINITE] = np.inf
    values[trial_name("t_1", 2)][MISSING] = np.nan
    ceiling = rng.random(N) * 60
    ceiling[N_CORTEX - 1] = np.nan
    stems = [stem for stem, n in REPEATS.items() for _ in range(n)]
    shuffled = [stems[i] for i in rng.permutation(len(stems))]
    places = [(1, 1), (1, 1), (1, 1), (1, 2), (1, 2), (1, 2), (2, 1), (2, 1), (2, 1), (2, 2)]
    order = [(*places[min(i, 9)], stem) for i, stem in enumerate(shuffled)]
    bucket = root / "bucket"
    file = bucket / FOLDER / f"{SUBJECT}.hdf5"
    mosaic = Mosaic(root, bucket, file, values, ceiling, order)
    write_hdf5(mosaic)
    write_events(mosaic)
    write_lists(root / "lists")
    (root / "images").mkdir()
    for number, stem in enumerate(REPEATS):
        pixels = np.full((8, 8, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{stem}.jpg")
    table = pd.DataFrame({"filename": [f"{stem}.jpg" for stem in repeats], "source": "x"})
    table.loc[len(REPEATS), "source"] = "Artificial"
    table["alias"], table["sub-02_reps"] = table["filename"], list(repeats.values())
    table.to_csv(root / "b5000_stiminfo.tsv", sep="\t", index=False)
    return mosaic
