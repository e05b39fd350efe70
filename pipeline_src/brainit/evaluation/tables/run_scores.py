"""The scores of all runs by subject, run and kind: of every image, and their summaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.data.recons import KINDS
from brainit.evaluation.metrics.names import NULL_COLUMNS, SUMMARY_COLUMNS, direction_of
from brainit.workflow.cohort import is_nsd
from brainit.workflow.runs import Run


@dataclass(frozen=True)
class MeanScore:
    """Means over subjects of one metric's summaries."""

    mean: float
    null_mean: float
    null_p999: float
    null_sd: float
    n_images: int
    direction: str


def run_key(name: str) -> tuple[str, str, str]:
    """Return subject, run and kind of "subject/run/kind".

    Raises `PipelineError` for a name of another form and for an unknown run or kind.
    """
    parts = name.split("/")
    if len(parts) != 3 or parts[2] not in KINDS:
        fix = f"write SUBJECT/RUN/KIND=PATH, KIND one of {', '.join(KINDS)}: subj01/40h/fused=PATH"
        where = f"argument {name!r}"
        raise PipelineError(where, "SUBJECT/RUN/KIND", name, fix, code="invalid-argument")
    return parts[0], Run.parse(parts[1]).name, parts[2]


class Summaries:
    """Summary tables by "subject/run/kind".

    Raises `PipelineError` for an invalid name and for a table that lacks a column.
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
        """Return the names of all runs, in order of first mention."""
        return tuple(dict.fromkeys(run for _, run, _ in self._tables))

    def metrics(self) -> tuple[str, ...]:
        """Return the metrics, in the order of the first table."""
        first = next(iter(self._tables.values()), pd.DataFrame())
        return tuple(str(name) for name in first.index)

    def mean(
        self, run: str, kind: str, metric: str, subjects: tuple[str, ...] | None = None
    ) -> MeanScore | None:
        """Return the mean of `metric` over `subjects` (None: all subjects of the run).

        None if one of them lacks the run, the kind or the metric.
        """
        chosen = self.subjects(run) if subjects is None else subjects
        keys = [(subject, run, kind) for subject in chosen]
        if not keys or any(
            key not in self._tables or metric not in self._tables[key].index for key in keys
        ):
            return None
        tables = [self._tables[key] for key in keys]
        columns = ("mean", *NULL_COLUMNS)
        means = {c: float(np.mean([table[c].loc[metric] for table in tables])) for c in columns}
        n_images = min(int(table["n_images"].loc[metric]) for table in tables)
        return MeanScore(**means, n_images=n_images, direction=direction_of(metric))


SHARES = {"CLIP retrieval (1000-way)": "clip_vit_l14.embedding.image_retrieval_1000way"}
"""Metrics that the paper gives as a share (T6), and the percentages that `evaluate` stores."""


class ImageScores:
    """Per-image tables by "subject/run/kind", each indexed by nsd_id.

    Raises `PipelineError` for an invalid name, a table without nsd_id and a repeated image.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._tables: dict[tuple[str, str, str], pd.DataFrame] = {}
        for name, path in paths.items():
            key = run_key(name)
            table = read_table(path, ("nsd_id",), "evaluate").set_index("nsd_id")
            if not table.index.is_unique:
                repeated = sorted(set(table.index[table.index.duplicated()]))
                found, fix = f"repeated nsd_id {repeated}", "delete the table and rerun evaluate"
                raise PipelineError(path, "each image once", found, fix, code="duplicate-data")
            shares = {new: table[old] / 100 for new, old in SHARES.items() if old in table}
            self._tables[key] = table.assign(**shares)

    def subjects(self, run: str, kind: str) -> tuple[str, ...]:
        """Return the subjects with scores of this run and kind, in order."""
        return tuple(sorted(s for s, *name in self._tables if name == [run, kind]))

    def runs(self) -> tuple[str, ...]:
        """Return the names of all runs, in order of first mention."""
        return tuple(dict.fromkeys(run for _, run, _ in self._tables))

    def metrics(self, run: str | None = None) -> tuple[str, ...]:
        """Return the metrics of the first table of `run` (None: of any run), in order."""
        tables = (t for (_, of, _), t in self._tables.items() if run is None or of == run)
        return tuple(str(name) for name in next(tables, pd.DataFrame()).columns)

    def values(
        self, subjects: Sequence[str], run: str, kind: str, metric: str
    ) -> "pd.Series[float] | None":
        """Return the mean over `subjects` of each image that all of them saw, by nsd_id.

        So for NSD's subjects, and others with the same images. Where sets of images differ, it
        returns the scores of all images of each subject, by subject and nsd_id: a mean over the few
        that they share would leave out nearly all. None if one of them lacks the table or the
        metric, or if `subjects` is empty.
        """
        tables = [self._tables.get((subject, run, kind)) for subject in subjects]
        columns = [t[metric] for t in tables if t is not None and metric in t]
        if not columns or len(columns) < len(tables):
            return None
        have_same = all(set(column.index) == set(columns[0].index) for column in columns)
        joined = pd.concat(columns, axis=1, join="inner").sort_index()
        if not have_same and (joined.empty or not all(map(is_nsd, subjects))):
            return pd.concat(columns, keys=list(subjects))
        return joined.mean(axis=1)
