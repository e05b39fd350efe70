"""Read the parcel of each voxel from an atlas on fsaverage, FreeSurfer annotations (Table T2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.data.nsd.masks import vertices_of_space
from brainit.data.nsd.paths import HEMISPHERES

_FIX = "name two annotation files on fsaverage in clusters.atlas: left, then right hemisphere"


def parcels_of_voxels(paths: Sequence[Path], voxels: Mapping[str, Artifact]) -> NDArray[np.int64]:
    """Return the parcel of each voxel, subject after subject.

    `paths` are the annotations of the left and the right hemisphere. The two hemispheres share no
    parcel number; vertices without a parcel form one parcel per hemisphere. Raises `PipelineError`
    for a wrong number of files, unreadable files, and another surface than the voxels'.
    """
    if len(paths) != len(HEMISPHERES):
        raise PipelineError(
            "--atlas", f"{len(HEMISPHERES)} files", f"{len(paths)}", _FIX, code="invalid-argument"
        )
    labels = [_labels(path) for path in paths]
    start = int(max(side.max() for side in labels)) + 2
    parts = []
    for subject, table in voxels.items():
        hemisphere, vertex = table["hemisphere"], table["vertex"]
        if (hemisphere < 0).any():
            expected = f"voxels of {subject} on fsaverage"
            fix = "set nsd.space to fsaverage, or clusters.method to gmm"
            raise PipelineError(
                "clusters.method: atlas",
                expected,
                "voxels of a volume",
                fix,
                code="invalid-setting",
            )
        n_vertices = vertices_of_space(table.attributes["space"])
        for path, side in zip(paths, labels, strict=True):
            if len(side) != n_vertices:
                expected = f"{n_vertices} vertices, as the voxels of {subject}"
                raise PipelineError(
                    path, expected, f"{len(side)}", _FIX, code="inconsistent-inputs"
                )
        both = np.stack(labels)[hemisphere, vertex]
        parts.append(both + 1 + hemisphere * start)
    return np.concatenate(parts).astype(np.int64)


def _labels(path: Path) -> NDArray[np.int64]:
    """Return the label of each vertex of a hemisphere, -1 for none."""
    try:
        with np.errstate(over="ignore"):  # another kind of file may state huge counts
            return np.asarray(nib.freesurfer.read_annot(path)[0], dtype=np.int64)
    except (OSError, ValueError, IndexError, MemoryError) as error:
        raise PipelineError(
            path, "a FreeSurfer annotation", str(error), _FIX, code="damaged-file"
        ) from error
