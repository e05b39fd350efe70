"""Read the masked vertices of FreeSurfer's MGH files (vertices, frames).

A session of NSD's betas has 491 MB per hemisphere; the mask needs an eighth. A file stores one
frame after the other, so the reader reads only the span of the masked vertices in each frame.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.reading import foreign_error, reading

DATA_OFFSET = 284
"""Bytes before the first value (FreeSurfer's file format)."""
_HEADER = struct.Struct(">6i")
_VERSION = 1
_TYPE_FLOAT = 3
_ITEM_BYTES = 4
_FIX = "delete it, download it again and rerun the step"


@dataclass(frozen=True)
class MghHeader:
    """Dimensions of a float32 MGH file on a surface."""

    n_vertices: int
    n_frames: int


def read_mgh_header(path: Path) -> MghHeader:
    """Read the header and check the size of the file against it.

    Raises `PipelineError` for a missing, truncated or other kind of file, and for values other than
    float32 of dims (vertices, 1, 1, frames).
    """
    expected = "an MGH file, version 1, float32, of dims (vertices, 1, 1, frames)"
    missing = "download it and rerun the step"
    with reading(path, expected, _FIX, missing=missing), path.open("rb") as handle:
        raw = handle.read(_HEADER.size)
        n_bytes = os.fstat(handle.fileno()).st_size
    if len(raw) < _HEADER.size:
        raise PipelineError(
            path, expected, f"a truncated file of {n_bytes} bytes", _FIX, code="damaged-file"
        )
    version, n_vertices, height, depth, n_frames, kind = _HEADER.unpack(raw)
    if (version, height, depth, kind) != (_VERSION, 1, 1, _TYPE_FLOAT):
        dims = (n_vertices, height, depth, n_frames)
        if foreign := foreign_error(path, expected):
            raise foreign
        raise PipelineError(
            path, expected, f"version {version}, type {kind}, dims {dims}", _FIX, code="wrong-kind"
        )
    if min(n_vertices, n_frames) < 1:
        dims = (n_vertices, height, depth, n_frames)
        raise PipelineError(path, expected, f"dims {dims}", _FIX, code="wrong-kind")
    needed = DATA_OFFSET + n_vertices * n_frames * _ITEM_BYTES
    if n_bytes < needed:
        raise PipelineError(
            path,
            f"at least {needed} bytes",
            f"a truncated file of {n_bytes} bytes",
            _FIX,
            code="damaged-file",
        )
    return MghHeader(n_vertices, n_frames)


def digest_of_trials(path: Path) -> str:
    """Return a digest of the first and last frame, which differs between sessions."""
    header = read_mgh_header(path)
    n_bytes = header.n_vertices * _ITEM_BYTES
    digest = hashlib.sha256()
    with reading(path, "the first and the last frame", _FIX), path.open("rb") as handle:
        for frame in (0, header.n_frames - 1):
            handle.seek(DATA_OFFSET + frame * n_bytes)
            digest.update(handle.read(n_bytes))
    return digest.hexdigest()


def read_mgh_vertices(path: Path, vertices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the values at ascending `vertices`, of axes (frames, vertices).

    Raises `PipelineError` as `read_mgh_header`, and for vertices out of range.
    """
    header = read_mgh_header(path)
    out = np.empty((header.n_frames, len(vertices)), dtype=">f4")
    if not len(vertices):
        return out.astype(np.float32)
    first, last = int(vertices.min()), int(vertices.max())
    if first < 0 or last >= header.n_vertices:
        raise PipelineError(
            path,
            f"vertices up to {last}",
            f"{header.n_vertices} vertices",
            "choose nsd.mask or nsd.mask_files on the surface of the betas",
            code="inconsistent-inputs",
        )
    inside = vertices - first
    raw = np.empty((last - first + 1) * _ITEM_BYTES, dtype=np.uint8)
    span = raw.view(">f4")
    with reading(path, "whole frames", _FIX), path.open("rb", buffering=0) as handle:
        for frame in range(header.n_frames):
            offset = DATA_OFFSET + (frame * header.n_vertices + first) * _ITEM_BYTES
            if os.preadv(handle.fileno(), [raw.data], offset) != raw.nbytes:
                raise PipelineError(
                    path,
                    f"{header.n_frames} whole frames",
                    f"frame {frame} truncated",
                    _FIX,
                    code="damaged-file",
                )
            # All indices are in range; the default mode "raise" would use an extra buffer.
            np.take(span, inside, out=out[frame], mode="clip")
    # One byte swap after the gather, in place, instead of one per frame.
    return out.byteswap(inplace=True).view(out.dtype.newbyteorder("="))
