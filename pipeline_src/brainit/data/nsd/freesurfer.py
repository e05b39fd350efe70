"""Read FreeSurfer's surfaces and annotations, after a check of the counts that they state.

nibabel allocates what a file states, so a damaged count of a small file could fill the memory.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from brainit.core.reading import reading

_COUNT = struct.Struct(">i")
_TRIANGLES = b"\xff\xff\xfe"
"""First bytes of a surface of triangles, which fsaverage's are."""
_VERTEX_BYTES = _FACE_BYTES = 12
_LABEL_BYTES = 8
_ENTRY_BYTES = 16
"""Least bytes of a colour: four numbers."""


def read_surface(path: Path, fix: str) -> NDArray[np.float64]:
    """Return the coordinates of a surface's vertices in mm, of axes (vertices, xyz).

    Raises `PipelineError` for a missing, truncated or other kind of file.
    """
    # nibabel raises plain exceptions, too.
    with reading(path, "a FreeSurfer surface of triangles", fix, Exception):
        _check_surface(path)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks the coordinates
            return nib.freesurfer.read_geometry(path)[0]


def read_annotation(path: Path, fix: str) -> NDArray[np.int64]:
    """Return the label of each vertex of a hemisphere, -1 for none.

    Raises `PipelineError` for a missing, truncated or other kind of file.
    """
    with reading(path, "a FreeSurfer annotation", fix, Exception):
        _check_annotation(path)
        return np.asarray(nib.freesurfer.read_annot(path)[0], dtype=np.int64)


def _check_surface(path: Path) -> None:
    with path.open("rb") as handle:
        if handle.read(len(_TRIANGLES)) != _TRIANGLES:
            raise ValueError("another first number than that of a surface of triangles")
        handle.readline()
        handle.readline()
        n_vertices, n_faces = _next_count(handle), _next_count(handle)
        needed = n_vertices * _VERTEX_BYTES + n_faces * _FACE_BYTES
        _require(path, handle.tell() + needed, f"{n_vertices} vertices and {n_faces} faces")


def _check_annotation(path: Path) -> None:
    with path.open("rb") as handle:
        n_vertices = _next_count(handle)
        labels_end = handle.tell() + n_vertices * _LABEL_BYTES
        _require(path, labels_end, f"{n_vertices} vertices")
        handle.seek(labels_end + _COUNT.size)  # past the mark of a colour table
        (n_entries,) = _COUNT.unpack(handle.read(_COUNT.size))
        # A version stands there as a negative number; the highest index follows.
        n_colours = n_entries if n_entries > 0 else _next_count(handle)
        _require(path, labels_end + n_colours * _ENTRY_BYTES, f"{n_colours} colours")


def _next_count(handle: BinaryIO) -> int:
    """Read a count; raises ValueError for a negative one, and struct.error at the end."""
    (count,) = _COUNT.unpack(handle.read(_COUNT.size))
    if count < 0:
        raise ValueError(f"a count of {count}")
    return int(count)


def _require(path: Path, n_bytes: int, stated: str) -> None:
    found = path.stat().st_size
    if n_bytes > found:
        raise ValueError(f"{stated} need {n_bytes} bytes, the file has {found}")
