"""Checkpoints of one job in its work folder: tensors (safetensors) and a JSON record, no pickle.

The record is written last and holds the SHA-256 of the tensors: a torn checkpoint is detected and
the previous one used. At most two are kept. A checkpoint is valid only for its own digest of
settings, inputs and code.
"""

import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of, write_text
from brainit.core.reading import reading

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """State of a training: named tensors, and values that JSON stores exactly."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one job. Only one process may use a folder (see `core.locks`)."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder, self.digest = folder, digest
        self._whole: int | None = None

    def newest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint of this digest, its tensors on the CPU, or None.

        Log each checkpoint that is skipped, and why.
        """
        for number in sorted(self._numbers(), reverse=True):
            fault = self._fault(number)
            if fault is None:
                self._whole = number
                values = json.loads(self._record(number).read_text(encoding="utf-8"))["values"]
                return Checkpoint(load_file(self._tensors(number)), values)
            logger.warning("%s: ignored: %s", self._tensors(number), fault)
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint atomically and keep the newest intact one before it.

        All others are removed first, so the disk never holds three. Raises `PipelineError` on a
        full disk.
        """
        number = max(self._numbers(), default=0) + 1
        self._remove_all_but(self._whole)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._tensors(number)
        with atomic_path(path) as partial:
            tensors = {name: t.detach().cpu() for name, t in checkpoint.tensors.items()}
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        record = {"digest": self.digest, "sha256": sha256_of(path), "values": checkpoint.values}
        write_text(self._record(number), json.dumps(record))
        self._whole = number

    def remove(self) -> None:
        """Remove the folder, once its job has written its outputs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> set[int]:
        names = (path.name for path in self.folder.glob("checkpoint_*"))
        matches = (re.fullmatch(r"checkpoint_(\d+)\.(safetensors|json)", name) for name in names)
        return {int(match[1]) for match in matches if match}

    def _tensors(self, number: int) -> Path:
        return self.folder / f"checkpoint_{number:06d}.safetensors"

    def _record(self, number: int) -> Path:
        return self._tensors(number).with_suffix(".json")

    def _fault(self, number: int) -> str | None:
        """Return why a checkpoint cannot be used, or None.

        Raises `PipelineError` where the machine cannot read it.
        """
        path = self._record(number)
        try:
            # A checkpoint that the machine cannot read may be intact: the next would replace it.
            with reading(path, "a readable checkpoint", "run the same command again"):
                record = json.loads(path.read_text(encoding="utf-8"))
                digest, sha256 = record["digest"], record["sha256"]
                is_whole = "values" in record and sha256_of(self._tensors(number)) == sha256
        except (ValueError, KeyError, TypeError, RecursionError):
            return "incomplete"
        except PipelineError as error:
            if error.code == "machine":
                raise
            return "incomplete"
        if digest != self.digest:
            return "made with different settings, inputs or code"
        return None if is_whole else "incomplete"

    def _remove_all_but(self, kept: int | None) -> None:
        """Remove checkpoints and the hidden partial files of killed writers."""
        names = set() if kept is None else {self._tensors(kept).name, self._record(kept).name}
        for path in [*self.folder.glob("checkpoint_*"), *self.folder.glob(".checkpoint_*")]:
            if path.name not in names:
                path.unlink(missing_ok=True)
