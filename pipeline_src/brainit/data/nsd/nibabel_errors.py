"""What damaged labels, volumes and their packing give, for all that read them with nibabel."""

import gzip
import zlib
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError

FAULTS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    MGHError,
)
"""What a truncated, foreign or damaged file gives."""

_GZIP = b"\x1f\x8b"


def unpacked(path: Path) -> bytes:
    """Return a file's content, unpacked to the end: that checks the checksum of what is packed."""
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(_GZIP) else content
