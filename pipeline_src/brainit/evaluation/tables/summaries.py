"""The summaries of all runs, found by subject, run and kind, and their means over subjects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.data.recons import KINDS
from brainit.evaluation.metrics.names import direction_of

SUMMARY_COLUMNS = (
    "metric",
    "mean",
    "ci_low",
    "ci_high",
    "n_images",
    "direction",
    "null_mean",
    "null_p999",
    "null_sd",
)
"""`null_*`: what the mean is when reconstructions are shuffled against images, on average; of
identification also its 99.9th percentile and standard deviation over permutations.

The average is over permutations (identification), over all pairs of different images (PixCorr and
distances) or over one random pairing (LPIPS).
"""

NULL_COLUMNS = ("null_mean", "null_p999", "null_sd")


@dataclass(frozen=True)
class MeanScore:
    """Mean of a metric over subjects; the interval is the mean of the subjects' intervals."""

    mean: float
    ci_low: float
    ci_high: float
    null_mean: float
    null_p999: float
    null_sd: float
    n_images: int
    direction: str


def run_key(name: str) -> tuple[str, str, str]:
    """Split "subject/run/kind"; raises `PipelineError` for another form of name."""
    parts = name.split("/")
    if len(parts) != 3 or parts[2] not in KINDS:
        fix = "write e.g. subj01/40h/fused=PATH"
        raise PipelineError(f"argument {name!r}", "SUBJECT/RUN/KIND", name, fix)
    return parts[0], parts[1], parts[2]


class Summaries:
    """Summary tables by "subject/run/kind".

    Raises `PipelineError` for another form of name and where a table lacks a column.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._tables: dict[tuple[str, str, str], pd.DataFrame] = {}
        for name, path in paths.items():
            key = run_key(name)
            table = read_table(path, SUMMARY_COLUMNS, "evaluate").set_index("metric")
            self._tables[key] = table

    def subjects(self, run: str) -> tuple[str, ...]:
        """Return the subjects that have `run`, in order."""
        return tuple(sorted({s for s, known_run, _ in self._tables if known_run == run}))

    def runs(self) -> tuple[str, ...]:
        """Return the runs that there are, in order of first mention."""
        return tuple(dict.fromkeys(run for _, run, _ in self._tables))

    def metrics(self) -> tuple[str, ...]:
        """Return the metrics, in the order of the first table."""
        first = next(iter(self._tables.values()), pd.DataFrame())
        return tuple(str(name) for name in first.index)

    def mean(
        self, run: str, kind: str, metric: str, subjects: tuple[str, ...] | None = None
    ) -> MeanScore | None:
        """Return the mean of `metric` over `subjects` (None: all that have the run).

        None where the run, the kind or the metric is not there for one of them.
        """
        chosen = self.subjects(run) if subjects is None else subjects
        keys = [(subject, run, kind) for subject in chosen]
        if not keys or any(
            key not in self._tables or metric not in self._tables[key].index for key in keys
        ):
            return None
        tables = [self._tables[key] for key in keys]
        columns = ("mean", "ci_low", "ci_high", *NULL_COLUMNS)
        means = {c: float(np.mean([table[c].loc[metric] for table in tables])) for c in columns}
        n_images = min(int(table["n_images"].loc[metric]) for table in tables)
        return MeanScore(**means, n_images=n_images, direction=direction_of(metric))
