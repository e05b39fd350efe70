"""Read one session of a subject's betas at the masked voxels, from any source."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.settings import NsdSettings
from brainit.data.fetch.sources import local_file, source_files
from brainit.data.nsd import masks, mgh
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd import volume as volume_betas
from brainit.data.nsd.masks import VoxelMask
from brainit.data.nsd.volume import VolumeMask
from brainit.workflow.sources import is_remote


@dataclass(frozen=True)
class BetaSource:
    """The source, mask, settings and work folder of a subject's betas."""

    subject: str
    root: str
    mask: VoxelMask | VolumeMask
    nsd: NsdSettings
    work: Path

    def keys(self, session: int) -> list[str]:
        """Return NSD's keys of a session: both hemispheres, or one volume."""
        return nsd_paths.session_betas(self.subject, self.nsd, session)

    def signature(self, session: int) -> list[list[str | int]]:
        """Return the facts that identify the version of a session's files."""
        if is_remote(self.root):
            return [[self.root, key] for key in self.keys(session)]
        files = [(key, local_file(self.root, key).stat()) for key in self.keys(session)]
        return [[self.root, key, stat.st_size, stat.st_mtime_ns] for key, stat in files]

    def read(self, session: int, n_trials: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the betas at the mask's voxels (trials, voxels), and a record of the files.

        The record holds a digest of trials by file (`trials_sha256`) and the downloads (`fetched`).
        Raises the readers' `PipelineError`, and one for another surface or trial count.
        """
        mask, keys = self.mask, self.keys(session)
        with source_files(self.root, keys, self.work, self.nsd.connections) as files:
            paths = [file.path for file in files]
            fetched = [asdict(file.fetched) for file in files if file.fetched is not None]
            if isinstance(mask, VolumeMask):
                values = volume_betas.read_volume_betas(paths[0], mask, n_trials)
                digests = [hashlib.sha256(values[[0, -1]].tobytes()).hexdigest()]
            else:
                values = _read_surfaces(paths, mask, n_trials)
                digests = [mgh.digest_of_trials(path) for path in paths]
        record: dict[str, Any] = {"trials_sha256": dict(zip(keys, digests, strict=True))}
        return values, record | ({"fetched": fetched} if fetched else {})


def _read_surfaces(paths: Sequence[Path], mask: VoxelMask, n_trials: int) -> NDArray[np.float32]:
    for hemisphere, path in enumerate(paths):
        masks.check_surface(path, mask, hemisphere, n_trials)
    parts = [
        mgh.read_mgh_vertices(path, mask.vertices_of(hemisphere))
        for hemisphere, path in enumerate(paths)
    ]
    return np.concatenate(parts, axis=1)
