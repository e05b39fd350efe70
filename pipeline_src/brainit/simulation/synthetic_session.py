"""Simulate a session like NSD-synthetic's: gratings, noise, colour fields and checkerboards."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.nsd import paths as nsd_paths
from brainit.simulation import nsd_files
from brainit.simulation.brain import Brain, signals
from brainit.simulation.filter_bank import MAP_SIZE, channel_maps
from brainit.simulation.geometry import hemisphere
from brainit.simulation.recording import record, standardise
from brainit.simulation.scenes import CONTENTS, N_PLACE_VALUES

CLASSES = ("grating", "noise", "colour", "checkerboard")
_N_PER_CLASS = 10
_N_REPEATS = 3
_FOLDER = "nsddata/experiments/nsdsynthetic"


def synthetic_stimuli(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return (40, side, side, 3) pixels, ten of each class."""
    axis = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(axis, axis)
    images = []
    for kind in CLASSES:
        for _ in range(_N_PER_CLASS):
            colour = generator.uniform(0.2, 1.0, 3)
            angle, cycles = generator.uniform(0, np.pi), generator.uniform(2, 12)
            along = x * np.cos(angle) + y * np.sin(angle)
            wave = 0.5 + 0.5 * np.sin(2 * np.pi * cycles * along)
            if kind == "noise":
                wave = generator.random((side, side))
            elif kind == "colour":
                wave = np.ones((side, side))
            elif kind == "checkerboard":
                wave = ((x * cycles).astype(int) + (y * cycles).astype(int)) % 2.0
            images.append((wave[..., None] * colour * 255).astype(np.uint8))
    return np.stack(images)


def write_synthetic_session(
    root: Path, settings: Settings, brain: Brain, number: int, subject: str
) -> None:
    """Write the betas of the session; for the first subject also design, classes and stimuli.

    Stimuli are stored as luminance, the square of pixel values, as in NSD-synthetic.
    """
    generator = numpy_generator(settings.run.seed, "nsdsynthetic")
    pixels = synthetic_stimuli(settings.simulation.image_size, generator)
    order = generator.permutation(np.repeat(np.arange(len(pixels)), _N_REPEATS))
    if number == 0:
        _write_design(root, pixels, order)
    maps = np.stack([channel_maps(image) for image in pixels])
    none = np.zeros((len(pixels), len(CONTENTS), MAP_SIZE, MAP_SIZE), dtype=np.float32)
    nowhere = np.zeros((len(pixels), N_PLACE_VALUES), dtype=np.float32)
    responses = standardise(signals(brain, maps, none, nowhere))
    draw = numpy_generator(settings.run.seed, "nsdsynthetic", subject)
    recording = record(brain, responses[order], len(order), number, draw)
    version = f"nsdsynthetic{settings.nsd.betas_version}"
    for side, name in enumerate(nsd_paths.HEMISPHERES):
        frames = np.zeros((len(order), len(hemisphere(side).flat)), dtype=np.float32)
        mine = brain.hemisphere == side
        frames[:, brain.vertex[mine]] = recording.betas[:, mine]
        folder = f"nsddata_betas/ppdata/{subject}/fsaverage/{version}"
        nsd_files.write_mgh(root / folder / f"{name}.betas_nsdsynthetic.mgh", frames)


def _write_design(root: Path, pixels: NDArray[np.uint8], order: NDArray[np.int64]) -> None:
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pattern = np.ones((1, 1, len(order)), dtype=np.uint8)
    design: dict[str, NDArray[Any]] = {
        "masterordering": (order + 1)[None].astype(np.uint16),
        "stimpattern": pattern,
    }
    nsd_files.write_mat(folder / "nsdsynthetic_expdesign.mat", design)
    names = np.repeat(CLASSES, _N_PER_CLASS)
    pd.DataFrame({"Image number": np.arange(1, len(names) + 1), "Image class": names}).to_csv(
        folder / "nsdsyntheticimageinformation.csv", index=False
    )
    path = root / "nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_stimuli.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        luminance = np.rint(255.0 * (pixels / 255.0) ** 2).astype(np.uint8)
        handle.create_dataset("imgBrick", data=luminance, track_times=False)
