"""The trial table of a subject: one row per presentation, in the order of the betas (paper 5.1).

Every later step reads trials from here; nothing else knows NSD's design files or index bases.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import read_table, write_table
from brainit.core.errors import PipelineError

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

SPLITS = ("train", "val", "test", "unused")

DURATION_RUNS: dict[str, int | None] = {"1h": None, "30min": 6, "15min": 3}
"""Runs of the first session that make up a duration; None means all (NSD: 12)."""
DURATIONS = ("40h", *DURATION_RUNS)


def read_trials(path: Path) -> pd.DataFrame:
    """Read a trial table and check it.

    Raises `PipelineError` where a column is missing, trials are not numbered 0, 1, 2, ..., or a
    split is unknown.
    """
    table = read_table(path, TRIAL_COLUMNS, "prepare_design")
    fix = "delete it and rerun prepare_design"
    if not np.array_equal(table["trial"].to_numpy(), np.arange(len(table))):
        raise PipelineError(path, "trials numbered 0, 1, 2, ...", "other numbers", fix)
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise PipelineError(path, f"splits {SPLITS}", f"{unknown}", fix)
    if len(table) and (table["nsd_id"].min() < 0 or table["session"].min() < 1):
        raise PipelineError(path, "nsd_id from 0 and session from 1", "smaller numbers", fix)
    return table


def write_trials(path: Path, trials: pd.DataFrame) -> None:
    """Write a trial table, whole or not at all."""
    write_table(path, trials[list(TRIAL_COLUMNS)])


def in_duration(trials: pd.DataFrame, duration: str) -> NDArray[np.bool_]:
    """Mark the trials of `duration`: 40h all, 1h session 1, 30min its runs 1-6, 15min runs 1-3.

    Raises `PipelineError` for another duration (paper 5.3: the first session of 750 trials).
    """
    if duration not in DURATIONS:
        raise PipelineError(
            "duration", f"one of {list(DURATIONS)}", duration, "correct transfer.durations"
        )
    if duration == "40h":
        return np.ones(len(trials), dtype=bool)
    inside = (trials["session"] == 1).to_numpy(dtype=bool)
    n_runs = DURATION_RUNS[duration]
    if n_runs is not None:
        inside = inside & (trials["run"] <= n_runs).to_numpy(dtype=bool)
    return inside
