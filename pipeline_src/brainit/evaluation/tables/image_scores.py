"""The metrics of every image of all runs, found by subject, run and kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.evaluation.tables.summaries import run_key

SHARES = {"CLIP retrieval (1000-way)": "clip_vit_l14.embedding.image_retrieval_1000way"}
"""Metrics that the paper gives as a share (T6), and the percentage that `evaluate` stores."""


class ImageScores:
    """Per-image tables by "subject/run/kind", each indexed by nsd_id.

    Raises `PipelineError` for another form of name, a table without nsd_id and a repeated image.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._tables: dict[tuple[str, str, str], pd.DataFrame] = {}
        for name, path in paths.items():
            key = run_key(name)
            table = read_table(path, ("nsd_id",), "evaluate").set_index("nsd_id")
            if not table.index.is_unique:
                raise PipelineError(path, "each image once", "repeated images", "rerun evaluate")
            shares = {new: table[old] / 100 for new, old in SHARES.items() if old in table}
            self._tables[key] = table.assign(**shares)

    def subjects(self, run: str, kind: str) -> tuple[str, ...]:
        """Return the subjects that have images of this run and kind, in order."""
        return tuple(sorted(s for s, *found in self._tables if found == [run, kind]))

    def runs(self) -> tuple[str, ...]:
        """Return the runs that there are, in order of first mention."""
        return tuple(dict.fromkeys(run for _, run, _ in self._tables))

    def metrics(self, run: str | None = None) -> tuple[str, ...]:
        """Return the metrics, in the order of the first table (None: of any run)."""
        tables = (t for (_, of, _), t in self._tables.items() if run is None or of == run)
        return tuple(str(name) for name in next(tables, pd.DataFrame()).columns)

    def values(
        self, subjects: Sequence[str], run: str, kind: str, metric: str
    ) -> "pd.Series[float] | None":
        """Return the mean over `subjects` for each image that all of them have, by nsd_id.

        None where one of them has no such table or metric, or `subjects` is empty.
        """
        tables = [self._tables.get((subject, run, kind)) for subject in subjects]
        columns = [t[metric] for t in tables if t is not None and metric in t]
        if not columns or len(columns) < len(tables):
            return None
        joined = pd.concat(columns, axis=1, join="inner").sort_index()
        return joined.mean(axis=1)
