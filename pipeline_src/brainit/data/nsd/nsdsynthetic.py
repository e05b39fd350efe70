"""Prepare NSD-synthetic: one session per subject of artificial images (Gifford et al. 2025).

744 trials of 284 images: 220 shared by all subjects, in `nsdsynthetic_stimuli.hdf5`, and 64 colour
images per subject, in `nsdsynthetic_colorstimuli_subj0X.hdf5` (NSD manual). Files are read from the
source when needed. Outputs have the form of any subject's files; all trials are test trials.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.artifacts import Artifact, read_table, write_table
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset, require_stored
from brainit.core.reading import reading
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.core.shards import write_shards
from brainit.data.fetch.sources import source_files
from brainit.data.image_files import STIMULI_DATASET, square
from brainit.data.matlab_files import read_mat
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.masks import VoxelMask, check_surface, vertices_of_space
from brainit.data.nsd.mgh import read_mgh_vertices
from brainit.data.nsd.terms import require_terms
from brainit.data.trials import write_trials
from brainit.data.zscore import zscore_session

_FIX = "download it again; for a source without NSD-synthetic, do not run prepare_nsdsynthetic"
_CLASS = "Image class"
logger = logging.getLogger(__name__)


def prepare_nsdsynthetic(
    subject: str,
    source: str,
    voxels: Artifact,
    work: Path,
    nsd: NsdSettings,
    images: ImageSettings,
    out: Path,
) -> None:
    """Write betas, trial table, images and classes of the session of `subject` to the folder `out`.

    `betas.npy`: float16 (trials, voxels), z-scored over all trials, voxels in the order of
    `voxels`; `trials.csv`: a trial table whose `nsd_id` is a row of `images/`; `classes.csv`: row,
    class. Raises `PipelineError` where NSD's terms are not accepted (before any request), in volume
    space, and where design, images and betas disagree.
    """
    require_terms(nsd, source, work)
    if nsd.space != "fsaverage":
        raise PipelineError(
            "nsd.space",
            "fsaverage",
            nsd.space,
            "set nsd.space: fsaverage, or do not run prepare_nsdsynthetic",
            code="invalid-setting",
        )
    trials = _trials(source, work)
    n_images = int(trials["nsd_id"].max()) + 1
    n_vertices = vertices_of_space(voxels.attributes["space"])
    vertex, hemisphere = voxels.tensors["vertex"], voxels.tensors["hemisphere"]
    mask = VoxelMask("kept", vertex, hemisphere, (n_vertices, n_vertices))
    scores = _betas(subject, source, mask, len(trials), work, nsd.betas_version)
    with atomic_path(out) as partial:
        partial.mkdir(parents=True)
        np.save(partial / "betas.npy", scores)
        write_trials(partial / "trials.csv", trials)
        blocks = _image_blocks(subject, source, n_images, work, images.stored_size)
        write_shards(partial / "images", blocks, {"side": images.stored_size})
        write_table(partial / "classes.csv", _classes(source, n_images, work))


def read_classes(path: Path) -> dict[int, str]:
    """Read the class of each image, by its row, from `classes.csv`; raises `PipelineError`."""
    table = read_table(path, ("row", "class"), "prepare_nsdsynthetic")
    return {int(row): str(name) for row, name in zip(table["row"], table["class"], strict=True)}


def _trials(source: str, work: Path) -> pd.DataFrame:
    """Return the trial table, which is the same for every subject."""
    with source_files(source, [nsd_paths.SYNTHETIC_DESIGN], work) as files:
        path = files[0].path
        expected = "a MATLAB file with masterordering and stimpattern"
        content = read_mat(path, _FIX, expected)
        try:
            order = content["masterordering"].ravel().astype(np.int64) - 1
            pattern = np.atleast_2d(np.squeeze(content["stimpattern"])) > 0
        except (ValueError, KeyError) as error:
            raise PipelineError(path, expected, str(error), _FIX, code="damaged-file") from error
    if pattern.sum() != len(order) or order.min() < 0:
        found = f"{int(pattern.sum())} in stimpattern, images from {order.min() + 1}"
        raise PipelineError(
            nsd_paths.SYNTHETIC_DESIGN,
            f"{len(order)} trials",
            found,
            _FIX,
            code="inconsistent-inputs",
        )
    run = np.nonzero(pattern.reshape(len(pattern), -1))[0] + 1
    trials = pd.DataFrame({"trial": np.arange(len(order)), "session": 1, "run": run})
    trials["trial_in_session"] = trials["trial"]
    trials["nsd_id"] = order
    trials["repeat"] = trials.groupby("nsd_id").cumcount()
    return trials.assign(is_shared=False, split="test")


def _betas(
    subject: str, source: str, mask: VoxelMask, n_trials: int, work: Path, version: str
) -> NDArray[np.float16]:
    keys = [nsd_paths.synthetic_betas(subject, version, side) for side in nsd_paths.HEMISPHERES]
    parts = []
    with source_files(source, keys, work) as files:
        for hemisphere, file in enumerate(files):
            check_surface(file.path, mask, hemisphere, n_trials)
            parts.append(read_mgh_vertices(file.path, mask.vertices_of(hemisphere)))
    scores, is_invalid = zscore_session(
        np.concatenate(parts, axis=1), np.ones(n_trials, dtype=bool)
    )
    if is_invalid.all():
        raise PipelineError(
            keys[0], "finite betas in the mask", "NaN in every voxel", _FIX, code="bad-values"
        )
    if is_invalid.any():
        logger.warning("%s: %d voxels are not finite and set to 0", keys[0], is_invalid.sum())
    return scores


def _image_blocks(
    subject: str, source: str, n_images: int, work: Path, side: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the shared images, then the subject's colour images, as squares."""
    n_left = n_images
    for key in (nsd_paths.SYNTHETIC_STIMULI, nsd_paths.synthetic_colours(subject)):
        if n_left <= 0:
            return
        with source_files(source, [key], work) as files:
            block = _squares(files[0].path, side)[:n_left]
        n_left -= len(block)
        yield block
    if n_left > 0:
        raise PipelineError(
            nsd_paths.SYNTHETIC_STIMULI,
            f"{n_images} images",
            f"{n_images - n_left}",
            _FIX,
            code="inconsistent-inputs",
        )


def _squares(path: Path, side: int) -> NDArray[np.uint8]:
    """Return the images as squares, with the pixel values that subjects saw.

    The file stores luminance for a linear screen; the square root gives ordinary pixel values
    (gifale95/NSD-synthetic, for both files of images).
    """
    expected = f"HDF5 with '{STIMULI_DATASET}', uint8 of axes (images, height, width, rgb)"
    with reading(path, expected, _FIX, *HDF5_ERRORS), open_hdf5(path) as handle:
        dataset = own_dataset(handle, STIMULI_DATASET)
        if dataset is None or dataset.dtype != np.uint8:
            raise PipelineError(path, expected, f"{sorted(handle)}", _FIX, code="missing-data")
        require_stored(path, dataset, _FIX)
        pixels = (np.rint(255.0 * np.sqrt(image / 255.0)) for image in dataset)
        pictures = (Image.fromarray(p.astype(np.uint8)).convert("RGB") for p in pixels)
        return np.stack([square(picture, side) for picture in pictures])


def _classes(source: str, n_images: int, work: Path) -> pd.DataFrame:
    """Return the class of each image row, from NSD's table of image information.

    The table has one row per image, the 64 colour images last; gifale95/NSD-synthetic reads its
    column 'Image class' in the same way.
    """
    with source_files(source, [nsd_paths.SYNTHETIC_CLASSES], work) as files:
        table = read_table(files[0].path, (_CLASS,), "prepare_nsdsynthetic")
    if len(table) < n_images:
        raise PipelineError(
            nsd_paths.SYNTHETIC_CLASSES,
            f"{n_images} classes",
            f"{len(table)}",
            _FIX,
            code="inconsistent-inputs",
        )
    return pd.DataFrame({"row": np.arange(n_images), "class": table[_CLASS][:n_images]})
