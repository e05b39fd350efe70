"""The first bytes of a file say its kind: a sign-in page under the name of a data file is found."""

from pathlib import Path

from brainit.core.errors import PipelineError

_MGH_VERSION_1 = b"\x00\x00\x00\x01"
_HEADERS: dict[str, tuple[tuple[bytes, ...], str]] = {
    ".mgh": ((_MGH_VERSION_1,), "an MGH file of version 1"),
    ".mgz": ((b"\x1f\x8b",), "a gzip-compressed MGH file"),
    ".gz": ((b"\x1f\x8b",), "a gzip-compressed file"),
    ".hdf5": ((b"\x89HDF\r\n\x1a\n",), "an HDF5 file"),
    ".zip": ((b"PK\x03\x04", b"PK\x05\x06"), "a zip archive"),
    ".mat": ((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"), "a MATLAB file"),
    ".pial": ((b"\xff\xff\xfe",), "a FreeSurfer surface"),
}
_N_BYTES = 32


def check_header(path: Path, name: str, where: str) -> None:
    """Check that the file at `path` begins as its `name` says; other kinds may not be a web page.

    Raises `PipelineError` that names `where` the file is from.
    """
    with path.open("rb") as handle:
        first = handle.read(_N_BYTES)
    beginnings, kind = _HEADERS.get(Path(name).suffix, ((), "data"))
    is_page = first.lstrip().lower().startswith((b"<!doctype", b"<html"))
    if is_page or not first.startswith(beginnings or (b"",)):
        raise PipelineError(
            where,
            kind,
            f"a file that begins with {first[:12]!r}",
            "check paths.source, and that no proxy answers in its place",
            code="wrong-kind",
        )
