"""Read the tensors of a published checkpoint in any format without running code from the file.

Formats: safetensors; torch's zip archives (state dicts, Lightning checkpoints, pickled modules and
TorchScript); torch's older stream format (by `torch.load(weights_only=True)`).

Archives have a reader of their own: torch's refuses the classes of pickled modules and NumPy's
numbers, and if it maps the file it reads a truncated entry past its end without a word.
"""

import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.reading import foreign_content, read_error, reading
from brainit.features.tensor_pickle import (
    RefusedCallError,
    TensorUnpickler,
    named_tensors,
    require_small_memo,
)

_FIX = "fetch it again from its publisher and compare its SHA-256; do not load it with other tools"
_PICKLE = b"\x80"
"""First byte of every pickle that torch writes."""
_N_SHOWN = 5
_UNREADABLE = (
    SafetensorError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
)
"""Exceptions of the readers for damaged content, besides OSError."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU, memory-mapped where possible.

    Names are those of a state dict: qualified parameter names. A Lightning checkpoint gives its
    `state_dict`. Raises `PipelineError` for a missing or unreadable file, for one that is no
    checkpoint, and for a pickle that calls a function, whose name is in the message.
    """
    missing = f"put {path.name} into {path.parent}, or correct the folder in the command"
    try:
        with reading(path, "a readable checkpoint", _FIX, *_UNREADABLE, missing=missing):
            return _tensors_of(path)
    except RefusedCallError as refused:
        found = f"a pickle that calls {refused}"
        raise PipelineError(path, "tensors", found, _FIX, code="unsafe-file") from refused
    except pickle.UnpicklingError as error:
        if foreign_content(path) is not None:
            raise read_error(path, "a checkpoint", error, _FIX) from error
        found = f"a pickle that torch refuses: {_reason(error)}"
        raise PipelineError(path, "tensors", found, _FIX, code="unsafe-file") from error


def _tensors_of(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    with path.open("rb") as handle:
        first = handle.read(32)
    if zipfile.is_zipfile(path):
        return named_tensors(_read_archive(path))
    if not first:
        raise EOFError("an empty file")
    if not first.startswith(_PICKLE) and foreign_content(path) is None:
        found = f"a file that begins with {first!r}"
        raise PipelineError(path, "a checkpoint", found, _FIX, code="wrong-kind")
    with warnings.catch_warnings(), _BoundedReader(path) as stream:
        warnings.simplefilter("ignore")
        return named_tensors(torch.load(stream, map_location="cpu", weights_only=True))


class _BoundedReader(io.BufferedReader):
    """A file that never reads more than it holds: Python reserves what a damaged length states."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._n_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or what is left."""
        left = max(0, self._n_bytes - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _reason(error: pickle.UnpicklingError) -> str:
    """Return the sentence of torch's long message that names the refused content."""
    text = str(error)
    for head in ("WeightsUnpickler error:", "trusted source."):
        text = text.rpartition(head)[2]
    return text.strip().partition("\n")[0]


def _read_archive(path: Path) -> Any:
    """Unpickle `data.pkl` of a torch archive; storages are memory-mapped from the file."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as handle:
        names = archive.namelist()
        main = next((n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")), None)
        if main is None:
            found = f"an archive of {names[:_N_SHOWN]}, without data.pkl"
            raise PipelineError(path, "a checkpoint", found, _FIX, code="wrong-kind")
        folder = main.removesuffix(".pkl")
        whole: Any = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
        known: dict[str, Any] = {}

        def storage(key: str) -> Any:
            if key not in known:
                entry = _stored(archive, f"{folder}/{key}")
                handle.seek(entry.header_offset)
                # The local header repeats name and extra field, with other lengths.
                head = handle.read(30)
                n_names = int.from_bytes(head[26:28], "little")
                n_extra = int.from_bytes(head[28:30], "little")
                start = entry.header_offset + 30 + n_names + n_extra
                known[key] = whole[start : start + entry.file_size]
            return known[key]

        content = archive.read(_stored(archive, main))
        require_small_memo(content)
        return TensorUnpickler(io.BytesIO(content), storage).load()


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return an entry; raises ValueError for a compressed one, which torch never writes."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"compressed entry {entry.filename}")
    return entry
