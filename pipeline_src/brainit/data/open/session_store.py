"""Sessions of a subject on the disk while it is imported: each whole or not there.

A rerun of the same import continues with the sessions that are missing. They lie in a hidden folder
beside the subject's, for its owner alone, until `data.open.assemble` joins them. Fetched files lie
beside them: another mask or task costs the sessions, not a download.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, write_text
from brainit.core.reading import open_npy, read_json

_ORIGIN, _PARTS = "origin.json", "sessions"
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes of a folder and of a file for their owner alone."""


def work_folder(folder: Path) -> Path:
    """Return the hidden folder beside a subject's, made for its owner alone."""
    work = folder.with_name(f".{folder.name}.import")
    work.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    work.chmod(PRIVATE_FOLDER)  # one that an earlier version made
    return work


class SessionStore:
    """The sessions made so far: betas float32 (trials, voxels), trials, and finite voxels.

    `origin` says what decides sessions and betas (source, mask, ...). Raises `PipelineError` where
    sessions of another origin lie in the folder.
    """

    def __init__(self, folder: Path, origin: Mapping[str, Any]) -> None:
        self.work = work_folder(folder)
        self._parts = self.work / _PARTS
        path = self._parts / _ORIGIN
        wanted = json.loads(json.dumps(dict(origin)))
        if path.is_file():
            fix = f"{self._fix} (fetched files stay), or with the same arguments as before"
            found = read_json(path, "what the sessions were made from", fix)
            if found != wanted:
                known = found if isinstance(found, dict) else {}
                keys = sorted({*wanted, *known})
                shown = [key for key in keys if known.get(key) != wanted.get(key)]
                raise PipelineError(
                    self._parts,
                    "sessions of this import",
                    f"sessions made with another {', '.join(shown)}",
                    fix,
                    code="wrong-settings",
                )
        else:
            write_text(path, json.dumps(wanted, indent=1) + "\n")

    def _path(self, session: int, ending: str) -> Path:
        return self._parts / f"session{session:03d}{ending}"

    def has(self, session: int) -> bool:
        """Return True if a session is there, whole: its trials are written last."""
        return self._path(session, ".csv").is_file()

    def write(
        self,
        session: int,
        trials: pd.DataFrame,
        rows: Iterable[NDArray[np.float32]],
        n_voxels: int,
    ) -> None:
        """Write a session from its rows (voxels,), one in memory at a time.

        Raises `PipelineError` where `rows` and `trials` differ in number.
        """
        is_finite, is_empty = np.ones(n_voxels, dtype=bool), np.ones(n_voxels, dtype=bool)
        n_rows = 0
        with atomic_path(self._path(session, ".npy")) as partial, partial.open("wb") as handle:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(trials), n_voxels)}
            np.lib.format.write_array_header_1_0(handle, header)
            for row in rows:
                handle.write(np.ascontiguousarray(row, dtype="<f4").tobytes())
                is_number = np.isfinite(row)
                is_finite &= is_number
                is_empty &= ~is_number | (row == 0)
                n_rows += 1
            if n_rows != len(trials):
                raise PipelineError(
                    self._path(session, ".npy"),
                    f"{len(trials)} trials, as in the trial table",
                    f"{n_rows}",
                    "fetch the session again",
                    code="inconsistent-inputs",
                )
        with atomic_path(self._path(session, "_marks.npy")) as partial:
            np.save(partial, np.stack([is_finite, is_empty]))
        write_text(self._path(session, ".csv"), trials.to_csv(index=False))

    def betas(self, session: int) -> NDArray[np.float32]:
        """Memory-map the betas of a session (trials, voxels)."""
        return open_npy(self._path(session, ".npy"), "betas of a session", self._fix)

    def is_finite(self, session: int) -> NDArray[np.bool_]:
        """Return which voxels are finite in every trial of a session."""
        return self._marks(session)[0]

    def is_empty(self, session: int) -> NDArray[np.bool_]:
        """Return which voxels have no data in a session: zero or not finite in every trial."""
        return self._marks(session)[1]

    def _marks(self, session: int) -> NDArray[np.bool_]:
        path = self._path(session, "_marks.npy")
        return np.array(open_npy(path, "two marks for each voxel", self._fix), dtype=bool)

    def trials(self, session: int) -> pd.DataFrame:
        """Return the trials of a session."""
        return pd.read_csv(
            self._path(session, ".csv"), dtype={"image": str, "split": str}, keep_default_na=False
        )

    @property
    def _fix(self) -> str:
        return f"remove {self._parts} and import the subject again"

    def remove(self) -> None:
        """Delete the folder, fetched files and all."""
        shutil.rmtree(self.work)
