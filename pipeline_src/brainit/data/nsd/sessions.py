"""Mask and z-score one session of betas after the other; work files keep finished sessions.

Mean and deviation come from all trials of the session, test images and later runs included, also
where only 15 or 30 min of it are used (released code); `nsd.zscore: training_trials` leaves out the
trials of validation and test images.

A work file is valid only for its exact inputs: a rerun continues after the last finished session
and gives the same bytes.
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
from brainit.core.reading import open_npy, reading
from brainit.data import zscore
from brainit.data.nsd.beta_source import BetaSource
from brainit.workflow.digest import code_digest

logger = logging.getLogger(__name__)

_CODE = ("brainit.data.nsd.sessions:prepare_session", "brainit.data.nsd.beta_source")
"""Functions that decide a work file; all that they call counts too."""


@dataclass(frozen=True)
class SessionBetas:
    """A finished session: its work file, float16 (trials, masked voxels), and its checks."""

    session: int
    path: Path
    is_invalid: NDArray[np.bool_]
    checks: dict[str, Any]


def prepare_sessions(source: BetaSource, trials: pd.DataFrame) -> list[SessionBetas]:
    """Prepare every session of the trial table, or reuse it from an interrupted run.

    Raises `PipelineError` for a session whose file does not fit mask and trial table (before it is
    read), is truncated, has no finite voxel, or is a copy of another file.
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
    """Raise `PipelineError` where two files hold the same trials; discard their sessions."""
    key_of: dict[str, str] = {}
    for newest in done:
        for key, digest in newest.checks["trials_sha256"].items():
            other = key_of.setdefault(digest, key)
            if other == key:
                continue
            for session in done:
                if {key, other} & session.checks["trials_sha256"].keys():
                    session.path.unlink()
            raise PipelineError(
                key,
                "trials that no other file has",
                f"the trials of {other}",
                f"download {key} and {other} again, or set paths.source to a complete copy of NSD",
                code="duplicate-data",
            )


def prepare_session(
    source: BetaSource, session: int, is_reference: NDArray[np.bool_]
) -> SessionBetas:
    """Prepare one session; `is_reference` marks the trials that give mean and deviation.

    Raises `PipelineError` for fewer than two such trials, and for betas that are nowhere finite or
    nowhere vary.
    """
    path = source.work / f"session_{session:02d}.npy"
    digest = _digest(source, session, is_reference)
    finished = _finished(path, session, digest)
    if finished is not None:
        logger.info("%s session %d: reused from an earlier run", source.subject, session)
        return finished
    if is_reference.sum() < 2:
        raise PipelineError(
            f"{source.subject} session {session}",
            "at least 2 training trials for the z-score",
            f"{is_reference.sum()}",
            "set nsd.zscore: all_trials",
            code="missing-data",
        )
    values, record = source.read(session, len(is_reference))
    scores, is_invalid = zscore.zscore_session(values, is_reference)
    _require_values(source, session, scores, is_invalid)
    n_beyond = int(np.isfinite(values[:, is_invalid]).all(axis=0).sum())
    n_nan = int(is_invalid.sum()) - n_beyond
    checks = _checks(session, scores[is_reference][:, ~is_invalid], n_nan) | record
    if n_beyond:
        logger.warning(
            "%s session %d: %d voxels have z-scores beyond float16 and are dropped",
            *(source.subject, session, n_beyond),
        )
        checks["n_beyond_float16"] = n_beyond
    with atomic_path(path) as partial:
        np.save(partial, scores)
    invalid = np.flatnonzero(is_invalid).tolist()
    content = {"digest": digest, "sha256": sha256_of(path), "invalid": invalid, "checks": checks}
    write_text(path.with_suffix(".json"), json.dumps(content))
    return SessionBetas(session, path, is_invalid, checks)


def _require_values(
    source: BetaSource, session: int, scores: NDArray[np.float16], is_invalid: NDArray[np.bool_]
) -> None:
    """Raise `PipelineError` for betas that are nowhere finite or nowhere vary."""
    if is_invalid.all():
        expected = "finite betas in the mask"
        found = "NaN, or z-scores beyond float16, in every voxel"
    elif not scores.any():
        expected = "betas that vary over trials"
        found = "the same value in all trials of every voxel"
    else:
        return
    raise PipelineError(
        f"{source.subject} session {session}",
        expected,
        found,
        f"fetch {' and '.join(source.keys(session))} again",
        code="bad-values",
    )


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
    """Return the session if its work file is complete and has this digest, else None."""
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return None
    expected, fix = "a finished session", "run the same command again"
    try:
        with reading(record, expected, fix):
            content = json.loads(record.read_text(encoding="utf-8"))
            if content["digest"] != digest or content["sha256"] != sha256_of(path):
                return None
            invalid, checks = content["invalid"], dict(content["checks"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None  # a torn record: the session is prepared again
    is_invalid = np.zeros(open_npy(path, expected, fix).shape[1], dtype=bool)
    is_invalid[invalid] = True
    return SessionBetas(session, path, is_invalid, checks)
