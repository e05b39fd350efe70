"""Read a subject's BIDS `events.tsv` files as one table of presentations in time order."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import TABLE_ERRORS
from brainit.core.errors import PipelineError
from brainit.core.reading import foreign_error, reading
from brainit.data.lab.search import find_files
from brainit.data.open.bids import parse_name, plain

IMAGE_COLUMNS = ("stim_file", "stimulus", "image", "ImgName", "label", "stimulus_id")
"""Columns that name the image, in the order in which they are looked for."""
_NO_IMAGE = ("", "n/a", "N/A", "blank", "rest", "fixation")
_DIGITS = re.compile(r"\d+")
_FIX = "name a folder of BIDS events.tsv files, with onset and the image of each trial"


def read_presentations(
    folder: Path, subject: str | None, column: str | None = None, task: str | None = None
) -> pd.DataFrame:
    """Return `session`, `run`, `image` of each presentation: sessions, runs, then onsets.

    `split` too, where the tables have it.

    `subject` is as sub-01 and `task` as in the names, None for all files; `column` names the image,
    None for the first known. Rows without an image (n/a, blank, rest, fixation) are no
    presentations. Sessions keep their numbers; if some have no plain number (ses-coco01), they are
    counted in the order of their labels, and files without one are session 1. Raises
    `PipelineError` for unreadable tables, absent columns, onsets that are no numbers, two files of
    one run, and where nothing was shown.
    """
    runs: dict[tuple[str, int], Path] = {}
    for path in find_files(folder, lambda path: path.name.endswith("_events.tsv")):
        entities = parse_name(path.name).entities
        if subject is not None and f"sub-{entities.get('sub')}" != subject:
            continue
        if task is not None and entities.get("task") != plain(task):
            continue
        key = entities.get("ses", "1"), _run_number(path, entities.get("run", "1"))
        if runs.setdefault(key, path) != path:
            found = f"{runs[key].relative_to(folder)} and {path.relative_to(folder)}"
            fix = "name the task of the events (--task), or a folder that has its files alone"
            expected = f"one file of session {key[0]}, run {key[1]}"
            raise PipelineError(folder, expected, found, fix, code="duplicate-data")
    numbers = _session_numbers({session for session, _ in runs})
    tables = [
        _read_run(runs[session, run], column).assign(session=numbers[session], run=run)
        for session, run in sorted(runs, key=lambda key: (numbers[key[0]], key[1]))
    ]
    shown = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if shown.empty:
        found = f"{len(runs)} files of {subject or 'any subject'}, no image in them"
        raise PipelineError(folder, "presentations", found, _FIX, code="missing-data")
    return shown[["session", "run", *(c for c in ("image", "split") if c in shown)]]


def _session_numbers(labels: set[str]) -> dict[str, int]:
    if all(label.isdecimal() and int(label) > 0 for label in labels):
        return {label: int(label) for label in labels}
    return {label: number for number, label in enumerate(sorted(labels), 1)}


def _run_number(path: Path, label: str) -> int:
    match = _DIGITS.search(label)
    if match is None:
        fix = "number the runs in the names of the files"
        raise PipelineError(path, "a number in run", f"run-{label}", fix, code="bad-values")
    return int(match[0])


def _read_run(path: Path, column: str | None) -> pd.DataFrame:
    expected = f"a table, separated by tabs, with onset and {column or ' or '.join(IMAGE_COLUMNS)}"
    with reading(path, expected, _FIX, *TABLE_ERRORS):
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    candidates = (column,) if column else IMAGE_COLUMNS
    name = next((name for name in candidates if name in table), None)
    if name is None or "onset" not in table:
        if foreign := foreign_error(path, expected):
            raise foreign
        raise PipelineError(path, expected, f"{list(table)}", _FIX, code="missing-data")
    shown = table[~table[name].isin(_NO_IMAGE)]
    onset = pd.to_numeric(shown["onset"], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(onset).all():
        found = f"{shown['onset'].iloc[int(np.flatnonzero(~np.isfinite(onset))[0])]!r}"
        raise PipelineError(path, "onsets in seconds", found, _FIX, code="bad-values")
    order = np.argsort(onset, kind="stable")
    kept = {"image": shown[name].to_numpy()[order]}
    if "split" in shown:
        kept["split"] = shown["split"].to_numpy()[order]
    return pd.DataFrame(kept)
