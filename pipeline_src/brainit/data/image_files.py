"""Turn NSD's stimuli and COCO's archive into shards of square images of one size (paper 5.1, D).

Differs from the paper: the released code does not document how it made 256-pixel images from COCO;
here the centre square is resized with PIL's antialiased bicubic filter.
"""

import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.files import is_side_file
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset, require_stored
from brainit.core.progress import progress
from brainit.core.reading import reading
from brainit.core.settings import ImageSettings
from brainit.core.shards import write_rows

STIMULI_DATASET = "imgBrick"
EXTERNAL_FOLDER = "unlabeled2017"
_IMAGES_PER_READ = 64
_LARGEST_MEMBER_BYTES = 64 << 20
IMAGE_ERRORS = (
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""Exceptions of PIL, besides OSError, for a file that is no image, or that is damaged or a bomb."""
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    RuntimeError,
    NotImplementedError,
    ValueError,
    EOFError,
    LookupError,
    struct.error,
    zlib.error,
)
"""Exceptions of zipfile for an archive or a member that is damaged or encrypted."""
_FIX = "delete it and rerun download_images"


def prepare_images(
    brick: Path, archive: Path, settings: ImageSettings, stimuli: Path, external: Path
) -> None:
    """Write both sharded arrays: stimuli (row = nsd_id) and external (row = sorted member).

    Raises `PipelineError` for a truncated or other kind of file and for unexpected member names.
    """
    attributes = {"side": settings.stored_size}
    for folder, path, rows in (
        (stimuli, brick, stimulus_rows(brick, settings)),
        (external, archive, external_rows(archive, settings)),
    ):
        write_rows(folder, rows, settings.rows_per_shard, {**attributes, "source": path.name})


def prepare_external(archive: Path, settings: ImageSettings, external: Path) -> None:
    """Write the external images alone, as `prepare_images` does."""
    attributes = {"side": settings.stored_size, "source": archive.name}
    write_rows(external, external_rows(archive, settings), settings.rows_per_shard, attributes)


def square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Return the centre square of an RGB image, resized to `side` pixels unless it has them."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    if short != side:
        image = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    elif image.width != image.height:
        image = image.crop(box)
    return np.asarray(image, dtype=np.uint8)


def stimulus_rows(path: Path, settings: ImageSettings) -> Iterator[NDArray[np.uint8]]:
    """Yield the stimuli one by one, at the stored size.

    Raises `PipelineError` for a truncated file or without `imgBrick`, uint8 (n, h, w, 3).
    """
    expected = f"HDF5 with '{STIMULI_DATASET}', uint8 of axes (images, height, width, rgb)"
    with reading(path, expected, _FIX, *HDF5_ERRORS), open_hdf5(path) as handle:
        dataset = own_dataset(handle, STIMULI_DATASET)
        if dataset is None:
            raise PipelineError(path, expected, f"{sorted(handle)}", _FIX, code="missing-data")
        if dataset.dtype != np.uint8 or dataset.ndim != 4 or dataset.shape[3] != 3:
            raise PipelineError(
                path, expected, f"{dataset.dtype} {dataset.shape}", _FIX, code="wrong-shape"
            )
        require_stored(path, dataset, _FIX)
        images = progress(_each_image(dataset), "stimuli", len(dataset), "image")
        yield from (square(Image.fromarray(image), settings.stored_size) for image in images)


def _each_image(dataset: Any) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(dataset), _IMAGES_PER_READ):
        yield from dataset[first : first + _IMAGES_PER_READ]


def external_rows(path: Path, settings: ImageSettings) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of the archive one by one, sorted by name, without unpacking it to disk.

    `settings.n_external` limits their number (None: all). Raises `PipelineError` for a corrupt
    archive or image, and for an archive with fewer images.
    """
    expected = "a readable zip archive"
    with reading(path, expected, _FIX, *_ARCHIVE_ERRORS), zipfile.ZipFile(path) as archive:
        members = external_members(path, archive)[: settings.n_external]
        if settings.n_external is not None and len(members) < settings.n_external:
            raise PipelineError(
                path,
                f"{settings.n_external} images (images.n_external)",
                f"{len(members)}",
                f"set images.n_external to at most {len(members)}, or to null for all",
                code="missing-data",
            )
        for member in progress(members, "external images", unit="image"):
            yield _read_member(path, archive, member, settings.stored_size)


def external_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the images of the archive, sorted by name.

    Raises `PipelineError` where a member is not a .jpg directly under `unlabeled2017/`, exceeds
    64 MiB or occurs twice, and for an archive without images.
    """
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not is_side_file(PurePosixPath(member.filename))
    ]
    for member in members:
        name = PurePosixPath(member.filename)
        is_plain = name.parts[:-1] == (EXTERNAL_FOLDER,) and name.suffix == ".jpg"
        if not is_plain or member.file_size > _LARGEST_MEMBER_BYTES:
            expected = f"{EXTERNAL_FOLDER}/<name>.jpg of at most {_LARGEST_MEMBER_BYTES} bytes"
            found = f"{member.filename!r} of {member.file_size} bytes"
            raise PipelineError(path, expected, found, _FIX, code="wrong-kind")
    if not members:
        raise PipelineError(
            path, f"images under {EXTERNAL_FOLDER}/", "none", _FIX, code="missing-data"
        )
    name_of_most, n_times = Counter(
        str(PurePosixPath(member.filename)) for member in members
    ).most_common(1)[0]
    if n_times > 1:
        raise PipelineError(
            path, "each image once", f"{name_of_most} {n_times} times", _FIX, code="duplicate-data"
        )
    return sorted(members, key=lambda member: member.filename)


def _read_member(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, side: int
) -> NDArray[np.uint8]:
    where = f"{path}:{member.filename}"
    with (
        reading(where, "a readable image", _FIX, *_ARCHIVE_ERRORS, *IMAGE_ERRORS),
        warnings.catch_warnings(),
        archive.open(member) as handle,
    ):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(handle) as image:
            return square(image.convert("RGB"), side)
