"""The trial table of a subject: one row per presentation, in the order of the betas (paper 5.1).

All later steps use this table, with 0-based image ids; only `data.nsd.design` reads NSD's designs.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import read_table, write_table
from brainit.core.errors import PipelineError
from brainit.workflow.cohort import no_time_error
from brainit.workflow.runs import Duration

TRIAL_COLUMNS = (
    "trial",
    "session",
    "run",
    "trial_in_session",
    "nsd_id",
    "repeat",
    "is_shared",
    "split",
)
"""0-based `trial` over all sessions; `session` and `run` 1-based; `nsd_id` 0-based; `repeat` 0.."""

SECONDS = "seconds"
"""Further column of a subject whose sessions are none, or no hours: seconds of recording per trial.

Empty where that is not known. With this column, time is counted by trials and not by sessions.
"""

SPLITS = ("train", "val", "test", "unused")

DURATION_RUNS = {"30min": 6, "15min": 3}
"""Runs of the first session in a duration; a session of NSD has 12 runs."""
SHARE_OF_SESSION = {"450trials": 450 / 750}
"""First trials of the first session as a share of it: the paper's "450 fMRI samples" (B)."""


def read_trials(path: Path) -> pd.DataFrame:
    """Read and check a trial table.

    Raises `PipelineError` for a missing column, trials not numbered 0, 1, 2, ..., an unknown split,
    negative image ids or sessions below 1, and seconds that are not above 0.
    """
    table = read_table(path, TRIAL_COLUMNS, "prepare_design")
    fix = "delete it and rerun prepare_design"
    if not np.array_equal(table["trial"].to_numpy(), np.arange(len(table))):
        raise PipelineError(
            path, "trials numbered 0, 1, 2, ...", "other numbers", fix, code="bad-values"
        )
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise PipelineError(path, f"splits {SPLITS}", f"{unknown}", fix, code="bad-values")
    if len(table) and (table["nsd_id"].min() < 0 or table["session"].min() < 1):
        raise PipelineError(
            path, "nsd_id from 0 and session from 1", "smaller numbers", fix, code="bad-values"
        )
    if SECONDS in table and len(table) and not _are_seconds(table[SECONDS]):
        expected, found = f"{SECONDS} above 0, or empty", "other values"
        raise PipelineError(path, expected, found, fix, code="bad-values")
    return table


def _are_seconds(values: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(values):
        return False
    known = values.dropna()
    return bool(((known > 0) & np.isfinite(known)).all())


def write_trials(path: Path, trials: pd.DataFrame) -> None:
    """Write a trial table, whole or not at all."""
    further = [SECONDS] if SECONDS in trials else []
    write_table(path, trials[[*TRIAL_COLUMNS, *further]])


def in_duration(trials: pd.DataFrame, duration: str) -> NDArray[np.bool_]:
    """Mark the trials of `duration` (paper 5.3).

    40h: all; 1h: session 1; 2h: sessions 1 and 2, and so on; 30min and 15min: runs 1-6 and 1-3 of
    session 1; 450trials: the first 450 of its 750 trials, or the same share of a shorter session;
    another number of trials: the first ones over all sessions.

    With a column `seconds`, a time is that of the first trials, over all sessions, that end within
    it: n trials of s seconds where n * s <= 60 * minutes; and every number of trials is that many.
    Raises `PipelineError` for another duration, and for a time where `seconds` are not known.
    """
    amount = Duration.parse(duration)
    if amount.is_full:
        return np.ones(len(trials), dtype=bool)
    if SECONDS in trials:
        return _in_recording(trials, amount)
    if amount.sessions:
        return (trials["session"] <= amount.sessions).to_numpy(dtype=bool)
    is_first = (trials["session"] == 1).to_numpy(dtype=bool)
    if duration in DURATION_RUNS:
        return is_first & (trials["run"] <= DURATION_RUNS[duration]).to_numpy(dtype=bool)
    if duration not in SHARE_OF_SESSION:
        return (trials["trial"] < amount.n_trials).to_numpy(dtype=bool)
    n_trials = round(SHARE_OF_SESSION[duration] * is_first.sum())
    return is_first & (trials["trial_in_session"] < n_trials).to_numpy(dtype=bool)


def _in_recording(trials: pd.DataFrame, amount: Duration) -> NDArray[np.bool_]:
    """Mark the trials of an amount by their seconds, where sessions do not tell the time."""
    if amount.is_of_trials:
        return (trials["trial"] < amount.n_trials).to_numpy(dtype=bool)
    if not has_duration(trials, amount.name):
        raise no_time_error(amount)
    ends_at = trials[SECONDS].to_numpy(np.float64).cumsum()
    # Sums of fractions of a second may exceed the time by rounding.
    return np.asarray(ends_at <= 60.0 * amount.minutes * (1 + 1e-9), dtype=bool)


def has_duration(trials: pd.DataFrame, duration: str) -> bool:
    """Return True unless a duration is a time and the table tells none."""
    amount = Duration.parse(duration)
    is_untimed = SECONDS in trials and bool(trials[SECONDS].isna().any())
    return amount.is_full or amount.is_of_trials or not is_untimed
