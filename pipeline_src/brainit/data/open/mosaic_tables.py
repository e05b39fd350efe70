"""MOSAIC's tables: images of a data set, with artificial ones among them; train and test lists."""

import csv
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from brainit.core.artifacts import TABLE_ERRORS
from brainit.core.errors import PipelineError
from brainit.core.reading import read_json, reading

LISTS = {
    "train": "train_naturalistic.json",
    "test": "test_naturalistic.json",
    "artificial": "test_artificial.json",
}
"""Files of the lists, and what they name; artificial images are left out: no natural test."""
_ARTIFICIAL_SOURCES = ("nsdsynthetic", "artificial")
"""`source` of artificial images in the tables of NSD and deeprecon, in lower case."""
_SETS_WITH_ARTIFICIAL = ("NSD", "deeprecon")


def read_stimulus_table(path: Path) -> pd.DataFrame:
    """Return the images of a data set, all text; raises `PipelineError` without `filename`.

    Columns `filename, alias, source, test_train`, and `sub-XX_reps`; `stem` is added.
    """
    fix = "take the data set's stiminfo.tsv of MOSAIC"
    expected = "a table, separated by tabs, with the column filename"
    with reading(path, expected, fix, *TABLE_ERRORS):
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    if "filename" not in table:
        raise PipelineError(path, expected, f"{list(table)}", fix, code="missing-data")
    table["stem"] = [stem_of(name) for name in table["filename"]]
    return table


def stem_of(name: str) -> str:
    """Return a file name without folder and suffix."""
    return PurePosixPath(name).stem


def repeats_column(subject: str) -> str:
    """Return the column of the table that counts the presentations to a subject (sub-01_NSD)."""
    return f"{subject.partition('_')[0]}_reps"


def counted_repeats(stimuli: pd.DataFrame, subject: str) -> pd.Series | None:
    """Return the presentations of each stem that the table counts; None without counts."""
    column = repeats_column(subject)
    if column not in stimuli:
        return None
    counted = pd.to_numeric(stimuli[column], errors="coerce").fillna(0).groupby(stimuli["stem"])
    return counted.sum().astype(int)


def repeats_missing(stimuli: pd.DataFrame, trials: pd.DataFrame, subject: str) -> int | None:
    """Return how many presentations the table counts that the file lacks; None without counts.

    Raises `PipelineError` where the file has more: it is of another subject or data set.
    """
    expected = counted_repeats(stimuli, subject)
    if expected is None:
        return None
    found = trials.groupby("stem").size()
    excess = found[found > expected.reindex(found.index).fillna(0)]
    if len(excess):
        raise PipelineError(
            repeats_column(subject),
            f"{int(expected.get(excess.index[0], 0))} presentations of {excess.index[0]!r}",
            f"{int(excess.iloc[0])} in the file ({len(excess)} images with too many)",
            "take the table and the file of one subject",
            code="inconsistent-inputs",
        )
    return int(expected.sum() - found.sum())


def without_artificial(
    trials: pd.DataFrame, subject: str, stimuli: pd.DataFrame | None, listed: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return trials and table of images without artificial ones, all of which are `phase-test`.

    The list names their trials, or `source` in the table their images. Raises `PipelineError` for a
    data set that has such trials where neither can name them.
    """
    is_listed = trials["name"].map(listed).eq("artificial")
    stems = set(trials["stem"][is_listed])
    if stimuli is not None and "source" in stimuli:
        is_artificial = stimuli["source"].str.strip().str.lower().isin(_ARTIFICIAL_SOURCES)
        stems |= set(stimuli["stem"][is_artificial])
    elif subject.partition("_")[2] in _SETS_WITH_ARTIFICIAL and "artificial" not in listed.values():
        raise PipelineError(
            subject,
            "which of its test trials show artificial images",
            "neither a table with source nor test_artificial.json",
            "pass --stimuli with the data set's stiminfo.tsv",
            code="missing-data",
        )
    # Also out of the table: NSD's synthetic images count from 0 in `alias`, as its own do.
    natural = None if stimuli is None else stimuli[~stimuli["stem"].isin(stems)]
    kept = trials[~trials["stem"].isin(stems)].reset_index(drop=True)
    return kept, natural


def read_lists(folder: Path) -> dict[str, str]:
    """Return what MOSAIC's lists call each trial (a key of `LISTS`), by the name of its dataset.

    A list is {image: [trial, ...]}, or several such objects; trials end in `.npz`. Raises
    `PipelineError` for another form, a trial in two lists, and an absent file.
    """
    split_of: dict[str, str] = {}
    for split, name in LISTS.items():
        fix = f"download {name} from the data set's page"
        path = folder / name
        if split == "artificial" and not path.exists():
            continue
        content = read_json(path, "a list of trials", fix)
        objects = content if isinstance(content, list) else [content]
        for listed in objects:
            if not isinstance(listed, Mapping):
                raise PipelineError(
                    path, "{image: [trials]}", f"{type(listed).__name__}", fix, code="wrong-kind"
                )
            for trial in (trial for trials in listed.values() for trial in _texts(path, trials)):
                key = PurePosixPath(trial).name.removesuffix(".npz")
                if split_of.setdefault(key, split) != split:
                    expected = "each trial in one list"
                    raise PipelineError(path, expected, f"{key} in two", fix, code="leak")
    return split_of


def _texts(path: Path, trials: Any) -> list[str]:
    if not isinstance(trials, list) or not all(isinstance(trial, str) for trial in trials):
        fix = "download the list again from the data set's page"
        raise PipelineError(path, "lists of names", f"{trials!r}", fix, code="wrong-kind")
    return trials
