"""Join the sessions of an imported subject into a folder of the lab layout, block by block."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, release_pages
from brainit.data.lab import layout
from brainit.data.open.quality import ceiling_within_sessions, quality_report
from brainit.data.open.session_store import PRIVATE_FOLDER, SessionStore

logger = logging.getLogger(__name__)

_ROWS_PER_BLOCK = 64
_EMPTY_SHARE = 0.05
"""Share of a mask without data above which a user is warned."""


@dataclass(frozen=True)
class SubjectParts:
    """What belongs to the betas of an imported subject.

    `trials`: rows of `trials.csv` of all sessions in order; `images`: files by name, or rows of
    `images.npy`; `voxels`: a row per voxel of the store; `about`: content of `subject.json`;
    `images_private`: the folder of images is for its owner alone.
    """

    trials: pd.DataFrame
    images: Mapping[str, Path] | NDArray[np.uint8]
    voxels: pd.DataFrame | None
    about: Mapping[str, Any]
    images_private: bool = False


def joined_trials(store: SessionStore, sessions: Sequence[int]) -> pd.DataFrame:
    """Return the trials of all sessions, numbered; sessions count from 1 in their order.

    `source_session` keeps the number that the data set gave.
    """
    tables = []
    for number, session in enumerate(sessions, 1):
        table = store.trials(session)
        tables.append(table.assign(session=number, source_session=session))
    trials = pd.concat(tables, ignore_index=True)
    trials.insert(0, "trial", np.arange(len(trials)))
    return trials


def write_imported(
    folder: Path,
    store: SessionStore,
    sessions: Sequence[int],
    parts: SubjectParts,
    dtype: str = "float32",
) -> None:
    """Write the subject's folder, whole or not at all; the store stays for the caller to remove.

    Voxels that are not finite in any one session are dropped from all. Raises `PipelineError` where
    the folder exists or no voxel remains.
    """
    layout.require_new(folder)
    is_kept = np.logical_and.reduce([store.is_finite(session) for session in sessions])
    columns = np.flatnonzero(is_kept)
    if not len(columns):
        expected = "voxels whose betas are finite in every trial"
        fix = "name another mask: these voxels have no data in some session"
        raise PipelineError(folder, expected, "none", fix, code="bad-values")
    if n_dropped := int((~is_kept).sum()):
        logger.warning("%s: %d voxels dropped, not finite in some session", folder, n_dropped)
    warn_of_empty(folder, store, sessions)
    voxels = None if parts.voxels is None else parts.voxels[is_kept].reset_index(drop=True)
    quality = _quality(store, sessions, columns, parts.trials, voxels, n_dropped)
    with atomic_path(folder) as partial:
        partial.mkdir(parents=True)
        _write_betas(partial / layout.BETAS, store, sessions, columns, dtype)
        mode = partial.stat().st_mode
        if parts.images_private:
            partial.chmod(PRIVATE_FOLDER)  # before any image is in it
        layout.write_tables_and_images(partial, parts.trials, parts.images, voxels)
        if parts.images_private:
            (partial / layout.IMAGE_FOLDER).chmod(PRIVATE_FOLDER)
            partial.chmod(mode)
        about = {**parts.about, "quality": quality}
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        (partial / layout.ABOUT).write_text(text, encoding="utf-8")
    logger.info("%s: %s", folder, ", ".join(f"{k} {v}" for k, v in quality.items()))


def warn_of_empty(folder: Path, store: SessionStore, sessions: Sequence[int]) -> None:
    """Warn where many voxels of the mask lie outside the data: the two may not overlap.

    Raises `PipelineError` where a session has no data in any of them.
    """
    for session in sessions:
        is_empty = store.is_empty(session)
        share = float(is_empty.mean())
        if share == 1.0:
            fix = "compare the affines of mask and betas: they do not overlap"
            expected = f"data in the mask's voxels in session {session}"
            raise PipelineError(folder, expected, "zeros alone", fix, code="inconsistent-inputs")
        if share > _EMPTY_SHARE:
            logger.warning(
                "%s: session %d has no data in %.0f %% of the mask's voxels (%d). Compare the"
                " affines of mask and betas: they may not overlap",
                *(folder, session, 100 * share, int(is_empty.sum())),
            )


def _quality(
    store: SessionStore,
    sessions: Sequence[int],
    columns: NDArray[np.int64],
    trials: pd.DataFrame,
    voxels: pd.DataFrame | None,
    n_dropped: int,
) -> dict[str, int | float | None]:
    by_session = trials.groupby("session")["image"]
    shown = [by_session.get_group(number).to_numpy() for number in range(1, len(sessions) + 1)]
    pairs = ((store.betas(s), images) for s, images in zip(sessions, shown, strict=True))
    ours = ceiling_within_sessions(pairs, columns)
    has_published = voxels is not None and "noise_ceiling" in voxels
    published = voxels["noise_ceiling"].to_numpy() if voxels is not None and has_published else None
    return quality_report(trials, n_dropped, published, ours)


def _write_betas(
    path: Path,
    store: SessionStore,
    sessions: Sequence[int],
    columns: NDArray[np.int64],
    dtype: str,
) -> None:
    n_trials = sum(len(store.betas(session)) for session in sessions)
    little = np.dtype(dtype).newbyteorder("<")
    with path.open("wb") as handle:
        shape = (n_trials, len(columns))
        header = {"descr": little.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, header)
        for session in sessions:
            values = store.betas(session)
            for first in range(0, len(values), _ROWS_PER_BLOCK):
                block = values[first : first + _ROWS_PER_BLOCK][:, columns]
                handle.write(block.astype(little).tobytes())
                release_pages(values)
