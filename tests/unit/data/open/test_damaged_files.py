"""Every reader of the open data sets on faulty files: right values or one error, nothing else."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from tests.bad_inputs import faults
from tests.unit.data.open import laion_miniature, mosaic_miniature

from brainit.core.errors import PipelineError
from brainit.data.lab import layout
from brainit.data.open.events import read_presentations
from brainit.data.open.glmsingle_arrays import look_at_betas, session_rows
from brainit.data.open.grid import GridMask
from brainit.data.open.laion_images import read_image_names, write_images
from brainit.data.open.laion_tables import read_split_list, read_trial_table
from brainit.data.open.mosaic_file import cortex_rows, published_ceiling, read_mosaic_file
from brainit.data.open.mosaic_geometry import vertex_table
from brainit.data.open.mosaic_tables import read_lists, read_stimulus_table
from brainit.data.open.volume_stream import masked_volumes, read_series, read_volume

MASK = GridMask("mask", np.array([[0, 0, 0], [1, 2, 1]]), (4, 3, 2), np.eye(4))
PLACES = np.arange(5)


def series(path: Path) -> None:
    list(masked_volumes(read_series(path, "fetch it again"), PLACES, "fetch it again"))


def images(path: Path) -> None:
    table = path.with_name("names.csv")
    write_images(path, table, laion_miniature.NAMES, path.with_name("pictures"))


def mosaic(path: Path) -> None:
    file = read_mosaic_file(path)
    list(cortex_rows(file, file.trials["name"], PLACES))
    published_ceiling(file, PLACES)


def betas(path: Path) -> None:
    file = look_at_betas(path, MASK)
    for rows in session_rows(file, MASK, [2, file.n_trials - 2]):
        list(rows)


def geometry(path: Path) -> None:
    vertex_table(PLACES, path.parent, None)


def write_sources(root: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """Write a good file of each kind into a folder of its own; return it and its reader."""
    laion = laion_miniature.write_miniature(root / "laion", sessions=(1, 2))
    bucket = laion.bucket
    mini, one = mosaic_miniature, root / "mosaic"
    (one / "geometry").mkdir(parents=True)
    mini.write_geometry(one / "geometry/both")
    mini.write_lists(one / "lists")
    trials = [mini.trial_name(stem, 0) for stem in ("c", "t_1")]
    with h5py.File(one / "sub.hdf5", "w") as handle:
        for name in trials:
            handle[f"betas/{name}"] = np.zeros(mini.N, np.float32)
    stimuli = pd.DataFrame({"filename": ["a.jpg"], "alias": ["1"], "sub-01_reps": [2]})
    stimuli.to_csv(one / "stiminfo.tsv", sep="\t", index=False)
    (one / "events").mkdir()
    events = one / "events/sub-01_ses-01_task-x_run-01_events.tsv"
    table = pd.DataFrame({"onset": [1.0, 2.0], "stim_file": ["a.jpg", "b.jpg"]})
    table.to_csv(events, sep="\t", index=False)
    values = np.random.default_rng(0).random((4, 3, 2, 5))
    np.save(root / "betas.npy", values)
    with h5py.File(root / "betas.hdf5", "w") as handle:
        handle["betasmd"] = values
    (root / "subject.json").write_text('{"zscored": true, "splits": {"list": "tau"}}')
    shutil.copy(laion.images.with_name("task-images_metadata.csv"), laion.images.parent / "n.csv")
    surface = next((one / "geometry/both").glob("*.L.*"))
    return {
        "trial table": (
            bucket / laion_miniature.TRIALS.format(1),
            lambda p: read_trial_table(p, 1),
        ),
        "split list": (laion.lists / "sub-01/tau.json", lambda p: read_split_list(p, "t", "p", "")),
        "betas": (bucket / laion_miniature.BETAS.format(1), series),
        "scaled betas": (bucket / laion_miniature.BETAS.format(2), series),
        "ceiling": (bucket / laion_miniature.CEILING, lambda p: read_volume(p, "fetch it again")),
        "images": (laion.images, images),
        "names of images": (laion.images.parent / "n.csv", lambda p: read_image_names(p, 12)),
        "mosaic": (one / "sub.hdf5", mosaic),
        "stimuli": (one / "stiminfo.tsv", read_stimulus_table),
        "lists": (one / "lists/train_naturalistic.json", lambda p: read_lists(p.parent)),
        "events": (events, lambda p: read_presentations(p.parent, "sub-01")),
        "array": (root / "betas.npy", betas),
        "hdf5": (root / "betas.hdf5", betas),
        "vertices": (one / "geometry/both/fMRI_vertex_info_32k.npz", geometry),
        "surface": (surface, geometry),
        "about": (root / "subject.json", lambda p: layout.read_about(p.parent)),
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_sources(tmp_path_factory.mktemp("sources"))


KINDS = ("trial table", "split list", "betas", "scaled betas", "ceiling", "images") + (
    *("names of images", "mosaic", "stimuli", "lists", "events", "array", "hdf5", "vertices"),
    *("surface", "about"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_one_error(sources: dict[str, Any], tmp_path: Path, kind: str) -> None:
    good, read = sources[kind]
    folder = tmp_path / "copy"
    shutil.copytree(good.parent, folder)
    path = folder / good.name
    if kind == "images":
        shutil.copy(good.with_name("task-images_metadata.csv"), folder / "names.csv")
    read(path)
    n_refused = 0
    for name, content in faults(good.read_bytes(), kind, n_head=2000):
        path.write_bytes(content)
        shutil.rmtree(folder / "pictures", ignore_errors=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except PipelineError as error:
            assert error.fix, name
            n_refused += 1
    assert n_refused >= 5
