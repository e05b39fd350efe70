"""Masks and atlases on fsaverage, from FreeSurfer's label and annotation files.

The mask is nsdgeneral, or nsdgeneral and RSC as in Algonauts 2023 (released code). In a label file,
values above 0 are inside; -1 and 0 are outside. Atlases give parcels instead of clusters (Table
T2).
"""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.freesurfer import read_annotation
from brainit.data.nsd.mgh import read_mgh_header

NIBABEL_ERRORS = (
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    MGHError,
)
"""Exceptions, besides OSError, that nibabel raises on corrupt files."""
_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20
_LARGEST_BYTES = 64 << 20
"""Twice the largest mask of NSD, of 1 mm in float64."""
_ATLAS_FIX = "name two annotation files on fsaverage in clusters.atlas: left, then right hemisphere"

LABELS = {"nsdgeneral": ("nsdgeneral",), "algonauts": ("nsdgeneral", "nsdgeneralRSC")}
"""Labels whose union is the mask."""

_SPACES = {163842: "fsaverage", 40962: "fsaverage6", 10242: "fsaverage5", 2562: "fsaverage4"}


@dataclass(frozen=True)
class VoxelMask:
    """Masked vertices: left hemisphere first, ascending within each hemisphere."""

    name: str
    vertex: NDArray[np.int64]
    hemisphere: NDArray[np.int64]
    n_vertices: tuple[int, int]

    @property
    def space(self) -> str:
        """Name of the surface, by its number of vertices."""
        n_vertices = self.n_vertices[0]
        return _SPACES.get(n_vertices, f"surface of {n_vertices} vertices")

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the mask's vertices."""
        content = hashlib.sha256(repr(self.n_vertices).encode())
        content.update(self.vertex.tobytes())
        content.update(self.hemisphere.tobytes())
        return content.hexdigest()

    def vertices_of(self, hemisphere: int) -> NDArray[np.int64]:
        """Return the masked vertices of hemisphere 0 (left) or 1 (right)."""
        return self.vertex[self.hemisphere == hemisphere]


def vertices_of_space(space: str) -> int:
    """Return the vertices per hemisphere of a surface named as by `VoxelMask.space`."""
    known = {name: n_vertices for n_vertices, name in _SPACES.items()}
    return known[space] if space in known else int(space.split()[2])


def read_mask(nsd: Path, name: str) -> VoxelMask:
    """Read the mask `algonauts` or `nsdgeneral` from NSD's labels below `nsd`.

    Raises `PipelineError` for unreadable labels, labels of different surfaces, or an empty mask.
    """
    paths = [
        [nsd / nsd_paths.label(side, label) for label in LABELS[name]]
        for side in nsd_paths.HEMISPHERES
    ]
    return _union(name, paths)


def read_mask_files(paths: Sequence[Path]) -> VoxelMask:
    """Read a mask from any two label files, left then right hemisphere; raises as `read_mask`."""
    left, right = paths
    return _union(f"{left.name} {right.name}", [[left], [right]])


def voxels_of_labels(
    nsd: Path, name: str, vertex: NDArray[np.int64], hemisphere: NDArray[np.int64]
) -> dict[str, NDArray[np.bool_]]:
    """Mark the voxels inside each label of the mask `name`.

    Empty for a mask of a single label or of files. Raises `PipelineError` for unreadable labels.
    """
    labels = LABELS.get(name, ())
    in_label = {}
    for label in labels if len(labels) > 1 else ():
        inside = np.zeros(len(vertex), dtype=bool)
        for number, side in enumerate(nsd_paths.HEMISPHERES):
            is_here = hemisphere == number
            values = read_label(nsd / nsd_paths.label(side, label))
            inside[is_here] = values[vertex[is_here]] > 0
        in_label[label] = inside
    return in_label


def _union(name: str, paths: Sequence[Sequence[Path]]) -> VoxelMask:
    """Return the mask of vertices above 0 in any label of their hemisphere; `paths` by side."""
    vertices, sizes = [], []
    for side_paths in paths:
        labels = [read_label(path) for path in side_paths]
        for path, label in zip(side_paths, labels, strict=True):
            if len(label) != len(labels[0]):
                raise PipelineError(
                    path,
                    f"{len(labels[0])} vertices, as {side_paths[0].name}",
                    f"{len(label)}",
                    "delete both labels and rerun download, or correct nsd.mask_files",
                    code="inconsistent-inputs",
                )
        vertices.append(np.flatnonzero(np.any([label > 0 for label in labels], axis=0)))
        sizes.append(len(labels[0]))
    vertex = np.concatenate(vertices).astype(np.int64)
    if not len(vertex):
        files = [str(path) for side_paths in paths for path in side_paths]
        raise PipelineError(
            name,
            f"vertices above 0 in {files}",
            "none",
            "delete the labels and rerun download, or correct nsd.mask_files",
            code="missing-data",
        )
    hemisphere = np.repeat(np.arange(2, dtype=np.int64), [len(part) for part in vertices])
    return VoxelMask(name, vertex, hemisphere, (sizes[0], sizes[1]))


def read_label(path: Path) -> NDArray[np.float32]:
    """Return the value of every vertex of a label file (.mgz or .mgh).

    Raises `PipelineError` for an unreadable file.
    """
    fix = "delete it and rerun download, or correct nsd.mask_files"
    with reading(path, "a readable label file", fix, *NIBABEL_ERRORS):
        content = unpacked(path)
        image = nib.MGHImage.from_bytes(content)
        require_content(image, len(content))
        return np.asanyarray(image.dataobj, dtype=np.float32).reshape(-1)


def unpacked(path: Path, n_stated: int = 0) -> bytes:
    """Return the content of a file, decompressed to the end, which verifies gzip's checksum.

    `n_stated` is how many bytes its header states. Raises EOFError for more than these and than
    64 MiB, which no mask has: a small file may unpack to any size.
    """
    n_most = max(n_stated, _LARGEST_BYTES)
    with path.open("rb") as handle:
        is_packed = handle.read(len(_GZIP)) == _GZIP
        handle.seek(0)
        stream: Any = gzip.GzipFile(fileobj=handle) if is_packed else handle
        content = bytearray()
        while block := stream.read(_BLOCK_BYTES):
            content += block
            if len(content) > n_most:
                raise EOFError(f"more than {n_most} bytes")
    return bytes(content)


def bytes_of_values(image: Any) -> int:
    """Return how many bytes the values of an image take in its file, as its header states."""
    return math.prod(int(length) for length in image.shape) * int(image.get_data_dtype().itemsize)


def require_content(image: Any, n_bytes: int) -> None:
    """Raise ValueError where the header of an image states more values than `n_bytes` hold."""
    needed = bytes_of_values(image)
    if not 0 <= needed <= n_bytes:
        raise ValueError(f"values of shape {image.shape} need {needed} of {n_bytes} bytes")


def check_surface(path: Path, mask: VoxelMask, hemisphere: int, n_frames: int) -> None:
    """Check the header of an MGH file: the surface of the mask, `n_frames` frames.

    Raises `PipelineError` for another number of vertices or frames.
    """
    header = read_mgh_header(path)
    if header.n_vertices != mask.n_vertices[hemisphere]:
        raise PipelineError(
            path,
            f"{mask.n_vertices[hemisphere]} vertices, as the mask {mask.name}",
            f"{header.n_vertices}",
            "choose nsd.mask or nsd.mask_files on the surface of the betas",
            code="inconsistent-inputs",
        )
    if header.n_frames != n_frames:
        raise PipelineError(
            path,
            f"{n_frames} frames, one per trial of the trial table",
            f"{header.n_frames}",
            "download the file again, or rerun prepare_design if the design changed",
            code="inconsistent-inputs",
        )


def parcels_of_voxels(paths: Sequence[Path], voxels: Mapping[str, Artifact]) -> NDArray[np.int64]:
    """Return the parcel of each voxel, subject after subject.

    `paths` are the annotations of the left and the right hemisphere. The two hemispheres share no
    parcel number; vertices without a parcel form one parcel per hemisphere. Raises `PipelineError`
    for a wrong number of files, unreadable files, and another surface than the voxels'.
    """
    if len(paths) != len(nsd_paths.HEMISPHERES):
        raise PipelineError(
            "--atlas",
            f"{len(nsd_paths.HEMISPHERES)} files",
            f"{len(paths)}",
            _ATLAS_FIX,
            code="invalid-argument",
        )
    labels = [read_annotation(path, _ATLAS_FIX) for path in paths]
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
                    path, expected, f"{len(side)}", _ATLAS_FIX, code="inconsistent-inputs"
                )
        both = np.stack(labels)[hemisphere, vertex]
        parts.append(both + 1 + hemisphere * start)
    return np.concatenate(parts).astype(np.int64)
