"""One session of betas after the other, masked and normalised, kept as work files until all are.

A work file is valid for exactly its inputs: a rerun after an interruption continues after the last
finished session and gives the same bytes.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of, write_text
from brainit.core.progress import progress
from brainit.data import zscore
from brainit.data.nsd.beta_source import BetaSource
from brainit.workflow.digest import code_digest

logger = logging.getLogger(__name__)

_CODE = ("brainit.data.nsd.sessions:prepare_session", "brainit.data.nsd.beta_source")
"""What decides a work file, with all that it calls."""


@dataclass(frozen=True)
class SessionBetas:
    """A finished session: its work file of float16 (trials, masked vertices), and what was seen."""

    session: int
    path: Path
    is_invalid: NDArray[np.bool_]
    checks: dict[str, Any]


def prepare_sessions(source: BetaSource, trials: pd.DataFrame) -> list[SessionBetas]:
    """Prepare every session of the trial table, or take it over from an interrupted run.

    Raises `PipelineError` for a session whose file has another surface or trial count than mask and
    trial table (before it is read), is truncated, holds no finite voxel, or is a copy of another.
    """
    done: list[SessionBetas] = []
    groups = list(trials.groupby("session"))
    for session, rows in progress(groups, f"betas {source.subject}", unit="session"):
        if source.nsd.zscore == "training_trials":
            is_reference = (rows["split"] == "train").to_numpy(dtype=bool)
        else:
            is_reference = np.ones(len(rows), dtype=bool)
        done.append(prepare_session(source, int(str(session)), is_reference))
        _refuse_copies(done)
    return done


def _refuse_copies(done: list[SessionBetas]) -> None:
    """Stop where two files hold the same trials; their sessions are no longer taken over."""
    owner: dict[str, str] = {}
    for made in done:
        for key, digest in made.checks["trials_sha256"].items():
            other = owner.setdefault(digest, key)
            if other == key:
                continue
            for session in done:
                if {key, other} & session.checks["trials_sha256"].keys():
                    session.path.unlink()
            raise PipelineError(
                key,
                "trials of its own",
                f"those of {other}: one file is a copy of the other",
                "fetch both again, or correct the mirror",
            )


def prepare_session(
    source: BetaSource, session: int, is_reference: NDArray[np.bool_]
) -> SessionBetas:
    """Prepare one session; `is_reference` marks the trials that give mean and deviation."""
    path = source.work / f"session_{session:02d}.npy"
    digest = _digest(source, session, is_reference)
    found = _finished(path, session, digest)
    if found is not None:
        logger.info("%s session %d: taken over from an earlier run", source.subject, session)
        return found
    if is_reference.sum() < 2:
        raise PipelineError(
            f"{source.subject} session {session}",
            "at least 2 training trials for the z-score",
            f"{is_reference.sum()}",
            "set nsd.zscore: all_trials",
        )
    values, seen = source.read(session, len(is_reference))
    scores, is_invalid = zscore.zscore_session(values, is_reference)
    if is_invalid.all():
        raise PipelineError(
            f"{source.subject} session {session}",
            "finite betas in the mask",
            "NaN in every voxel",
            f"fetch {' and '.join(source.keys(session))} again",
        )
    if not scores.any():
        raise PipelineError(
            f"{source.subject} session {session}",
            "betas that vary over trials",
            "the same value in all trials of every voxel",
            f"fetch {' and '.join(source.keys(session))} again",
        )
    checks = _checks(session, scores[is_reference][:, ~is_invalid], int(is_invalid.sum())) | seen
    with atomic_path(path) as partial:
        np.save(partial, scores)
    invalid = np.flatnonzero(is_invalid).tolist()
    content = {"digest": digest, "sha256": sha256_of(path), "invalid": invalid, "checks": checks}
    write_text(path.with_suffix(".json"), json.dumps(content))
    return SessionBetas(session, path, is_invalid, checks)


def _checks(session: int, scores: NDArray[np.float16], n_nan: int) -> dict[str, Any]:
    """Return mean and deviation over the reference trials: 0 and 1 up to float16."""
    mean = scores.mean(axis=0, dtype=np.float32)
    deviation = scores.std(axis=0, dtype=np.float32)
    varies = deviation > 0
    return {
        "session": session,
        "n_reference_trials": len(scores),
        "n_nan_voxels": n_nan,
        "n_zero_variance": int((~varies).sum()),
        "max_abs_mean": float(np.abs(mean).max()),
        "max_abs_std_minus_1": float(np.abs(deviation[varies] - 1).max(initial=0.0)),
    }


def _digest(source: BetaSource, session: int, is_reference: NDArray[np.bool_]) -> str:
    """Digest all that determines a work file, the code that makes it included."""
    content = {
        "files": source.signature(session),
        "mask": source.mask.digest,
        "reference": hashlib.sha256(is_reference.tobytes()).hexdigest(),
        "n_trials": len(is_reference),
        "code": code_digest(*_CODE),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finished(path: Path, session: int, digest: str) -> SessionBetas | None:
    """Return the session where its work file is whole and of these inputs, else None."""
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return None
    content = json.loads(record.read_text(encoding="utf-8"))
    if content["digest"] != digest or content["sha256"] != sha256_of(path):
        return None
    n_voxels = np.load(path, mmap_mode="r", allow_pickle=False).shape[1]
    is_invalid = np.zeros(n_voxels, dtype=bool)
    is_invalid[content["invalid"]] = True
    return SessionBetas(session, path, is_invalid, content["checks"])
