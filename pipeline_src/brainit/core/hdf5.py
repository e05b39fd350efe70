"""Open HDF5 files to read them, without locks, and check that they hold what they state."""

from pathlib import Path

import h5py

from brainit.core.errors import PipelineError

HDF5_ERRORS = (RuntimeError, ValueError, LookupError, TypeError, OverflowError)
"""Exceptions of h5py for damaged content, besides OSError without a number."""


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file to read it, within `reading`; it needs no lock of the file system."""
    return h5py.File(path, "r", locking=False)


def own_dataset(handle: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset of the file itself; None for none, and for a link to another file."""
    if isinstance(handle.get(name, getlink=True), h5py.ExternalLink):
        return None
    found = handle.get(name)
    return found if isinstance(found, h5py.Dataset) else None


def require_stored(path: Path, dataset: h5py.Dataset, fix: str) -> None:
    """Raise `PipelineError` where an HDF5 file holds fewer bytes than its dataset states.

    HDF5 reads what was never written as zeros. A compressed dataset
    must hold something.
    """
    is_filtered = dataset.id.get_create_plist().get_nfilters() > 0
    needed = min(dataset.nbytes, 1) if is_filtered else dataset.nbytes
    stored = dataset.id.get_storage_size()
    if dataset.external is None and not dataset.is_virtual and stored >= needed:
        return
    found = f"{stored} bytes for values of {dataset.dtype} {dataset.shape}"
    expected = f"at least {needed} bytes of values in the file"
    raise PipelineError(path, expected, found, fix, code="damaged-file")
