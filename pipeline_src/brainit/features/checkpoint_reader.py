"""Read the tensors of a published checkpoint in any format without running code from the file.

Formats: safetensors; torch's zip archives (state dicts, Lightning checkpoints, pickled modules and
TorchScript); torch's older stream format (by `torch.load(weights_only=True)`).
"""

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.features.tensor_pickle import RefusedCallError, TensorUnpickler, named_tensors

_FIX = "fetch it again from its publisher and compare its SHA-256; do not load it with other tools"

_UNREADABLE = (
    SafetensorError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU, memory-mapped where possible.

    Names are those of a state dict: qualified parameter names. A Lightning checkpoint gives its
    `state_dict`. Raises `PipelineError` for a missing or unreadable file and for a pickle that
    calls a function, whose name is in the message.
    """
    if not path.is_file():
        fix = f"put {path.name} into {path.parent}, or correct the folder in the command"
        raise PipelineError(path, "a checkpoint", "no file", fix, code="missing-file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if zipfile.is_zipfile(path):
            return named_tensors(_read_archive(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return named_tensors(torch.load(path, map_location="cpu", weights_only=True))
    except RefusedCallError as refused:
        found = f"a pickle that calls {refused}"
        raise PipelineError(path, "tensors", found, _FIX, code="unsafe-file") from refused
    except pickle.UnpicklingError as error:
        found = f"a pickle that torch refuses: {_reason(error)}"
        raise PipelineError(path, "tensors", found, _FIX, code="unsafe-file") from error
    except _UNREADABLE as error:
        expected = "a readable checkpoint"
        raise PipelineError(path, expected, str(error), _FIX, code="damaged-file") from error


def _reason(error: pickle.UnpicklingError) -> str:
    """Return the sentence of torch's long message that names the refused content."""
    text = str(error)
    for head in ("WeightsUnpickler error:", "trusted source."):
        text = text.rpartition(head)[2]
    return text.strip().partition("\n")[0]


def _read_archive(path: Path) -> Any:
    """Unpickle `data.pkl` of a torch archive; storages are memory-mapped from the file."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as handle:
        pickles = [name for name in archive.namelist() if name.count("/") == 1]
        main = next((name for name in pickles if name.endswith("/data.pkl")), None)
        if main is None:
            raise ValueError("an archive without data.pkl")
        folder = main.removesuffix(".pkl")
        whole: Any = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
        known: dict[str, Any] = {}

        def storage(key: str) -> Any:
            if key not in known:
                entry = archive.getinfo(f"{folder}/{key}")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"compressed entry {entry.filename}")
                handle.seek(entry.header_offset)
                # The local header repeats name and extra field, with other lengths.
                head = handle.read(30)
                n_names = int.from_bytes(head[26:28], "little")
                n_extra = int.from_bytes(head[28:30], "little")
                start = entry.header_offset + 30 + n_names + n_extra
                known[key] = whole[start : start + entry.file_size]
            return known[key]

        return TensorUnpickler(io.BytesIO(archive.read(main)), storage).load()
