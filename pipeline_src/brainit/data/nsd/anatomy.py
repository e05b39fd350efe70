"""Mask, positions and NSD's ncsnr of a subject's voxels, on fsaverage or in its own volume."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd import volume
from brainit.data.nsd.freesurfer import read_surface
from brainit.data.nsd.masks import LABELS, VoxelMask, check_surface, read_mask, read_mask_files
from brainit.data.nsd.mgh import read_mgh_vertices
from brainit.data.nsd.volume import VolumeMask, read_volume_mask

Mask = VoxelMask | VolumeMask

_FARTHEST_MM = 1000.0
"""Limit of plausible coordinates."""


def anatomy_keys(nsd: NsdSettings, subjects: Sequence[str]) -> list[str]:
    """Return the keys of NSD's files with the masks, positions and ncsnr of the subjects."""
    if nsd.space == volume.SPACE:
        keys = [nsd_paths.volume_ncsnr(subject, nsd.betas_version) for subject in subjects]
        if nsd.mask != "files":
            keys += [nsd_paths.volume_roi(subject, nsd.mask) for subject in subjects]
        return keys
    keys = []
    for side in nsd_paths.HEMISPHERES:
        keys += [nsd_paths.label(side, name) for name in LABELS.get(nsd.mask, ())]
        keys.append(nsd_paths.pial(side))
        keys += [nsd_paths.ncsnr(subject, nsd.betas_version, side) for subject in subjects]
    return keys


def subject_mask(
    nsd_root: Path, subject: str, nsd: NsdSettings, mask_files: Sequence[Path] = ()
) -> Mask:
    """Read the mask of `subject` that the settings name; `mask_files` for `nsd.mask: files`.

    Raises `PipelineError` for unreadable or empty regions and for a wrong number of files.
    """
    n_files = len(nsd.mask_files)
    if len(mask_files) != n_files:
        raise PipelineError(
            "--mask-files",
            f"{n_files} files",
            f"{len(mask_files)}",
            "pass one --mask-files per entry of nsd.mask_files, in their order",
            code="invalid-argument",
        )
    if nsd.space == volume.SPACE:
        path = mask_files[0] if n_files else nsd_root / nsd_paths.volume_roi(subject, nsd.mask)
        return read_volume_mask(path, path.name.removesuffix(".nii.gz"))
    if n_files:
        return read_mask_files(mask_files)
    return read_mask(nsd_root, nsd.mask)


def published_ncsnr(nsd_root: Path, subject: str, version: str, mask: Mask) -> NDArray[np.float32]:
    """Return NSD's ncsnr at the masked voxels, NaN where NSD has none.

    Raises `PipelineError` for an unreadable file or another surface or volume than the mask's.
    """
    if isinstance(mask, VolumeMask):
        path = nsd_root / nsd_paths.volume_ncsnr(subject, version)
        return volume.values_in_mask(path, mask)
    parts = []
    for hemisphere, side in enumerate(nsd_paths.HEMISPHERES):
        path = nsd_root / nsd_paths.ncsnr(subject, version, side)
        check_surface(path, mask, hemisphere, 1)
        parts.append(read_mgh_vertices(path, mask.vertices_of(hemisphere))[0])
    return np.concatenate(parts)


def positions(nsd_root: Path, mask: Mask) -> NDArray[np.float32]:
    """Return the position of each masked voxel in mm, of axes (voxels, xyz).

    On fsaverage this is the vertex of the pial surface, in a volume the voxel's centre by the ROI's
    affine. Raises `PipelineError` for an unreadable surface or another number of vertices than the
    mask's.
    """
    if isinstance(mask, VolumeMask):
        return mask.position_mm
    parts = []
    for hemisphere, side in enumerate(nsd_paths.HEMISPHERES):
        path = nsd_root / nsd_paths.pial(side)
        vertices = read_surface(path, "delete it and rerun download")
        if len(vertices) != mask.n_vertices[hemisphere]:
            raise PipelineError(
                path,
                f"{mask.n_vertices[hemisphere]} vertices as the mask {mask.name}",
                f"{len(vertices)}",
                "delete the surface and the labels and rerun download, so that both are fsaverage",
                code="inconsistent-inputs",
            )
        position_mm = vertices[mask.vertices_of(hemisphere)]
        if not (np.abs(position_mm) < _FARTHEST_MM).all():
            found = "larger or non-finite coordinates in the mask"
            raise PipelineError(
                path,
                f"coordinates within {_FARTHEST_MM} mm",
                found,
                "delete it and rerun download",
                code="bad-values",
            )
        parts.append(position_mm.astype(np.float32))
    return np.concatenate(parts)
