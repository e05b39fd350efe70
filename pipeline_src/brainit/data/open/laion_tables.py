"""LAION-fMRI's trial tables and its train/test lists.

A list (JSON) has `name, pool, n_train, n_test, variants: [{variant_id, train_ids, test_ids}]`; an
id is a `label` of the trial tables. Labels hold blanks, points and plus signs: they are compared
whole, tables are split at tabs alone. Some lists changed after publication, so that the commit
belongs beside every score; a list is recognised by its ids.
"""

import csv
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainit.core.artifacts import TABLE_ERRORS
from brainit.core.errors import PipelineError
from brainit.core.reading import foreign_error, read_json, reading

logger = logging.getLogger(__name__)

COMMIT = "eee8400aa3214f310b840397f9f043b9c2da79b0"
"""Commit of ViCCo-Group/LAION-fMRI (2026-05-05) whose lists are the default."""
SPLITS_SOURCE = (
    "https://raw.githubusercontent.com/ViCCo-Group/LAION-fMRI/{commit}/laion_fmri/splits/data"
)
KNOWN_LISTS = {
    ("shared", "cluster_k5_0"): "ddfab5e35febf590acc9998a07e135530dc73e3f3f0c91912470075f6a4fce06",
    ("shared", "cluster_k5_1"): "796e6da3255186d92d06970f4383b3cffaa64394db3e718c3677de7241785670",
    ("shared", "cluster_k5_2"): "338d297a44a783aeb6e88617e548b3c9aed6ab2130e79f43991027ae6334f885",
    ("shared", "cluster_k5_3"): "aef9550d63d3515a3d9636bb24886263d09ecc799fec74acad2843a8bb79c519",
    ("shared", "cluster_k5_4"): "cd938404fd6f5f54697967620a398217154a2777de8dcf5d97eaee90d93ab22b",
    ("shared", "ood"): "d7b4383f0261a5af41c33c4a9b5c4ce97e2f8a137b52b16c9761a884481b48aa",
    ("shared", "tau"): "ea07a4c22864da521a08c104aa5f8df1d6c644c7b4138fa6b92e8552e0068a83",
    ("sub-01", "ood"): "33ac0f15f477dafa68f4612e5e8c032862f787906b61741560681948372fcc87",
    ("sub-01", "tau"): "acf196693a18dee03f4e80783977c49659d340f9a447b4596a3c404d004f8d12",
}
"""SHA-256 of the ids (`SplitList.digest`) of lists at `COMMIT`, by pool and name."""
OWN_SUFFIX = {"sub-01": "p01", "sub-03": "p04", "sub-05": "p03", "sub-06": "p02", "sub-07": "p05"}
"""End of the names of the images that one subject alone saw."""
OUT_OF_DISTRIBUTION = "shared_4rep_OOD_"

_COLUMNS = ("session", "run", "beta_index", "label")
_DIGITS = re.compile(r"\d+")
_TABLE_FIX = "fetch the trial table again; it must belong to the betas of its session"


def read_trial_table(path: Path, session: int) -> pd.DataFrame:
    """Return `run` and `image` of each volume of a session, in the order of the volumes.

    Raises `PipelineError` for an unreadable table, missing columns, another session's rows, labels
    that are empty, and a `beta_index` that does not count 0, 1, 2, ...
    """
    expected = f"a table, separated by tabs, with columns {_COLUMNS}"
    with reading(path, expected, _TABLE_FIX, *TABLE_ERRORS):
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        if foreign := foreign_error(path, expected):
            raise foreign
        found = f"no {missing}, but {list(table.columns)}"
        raise PipelineError(path, expected, found, _TABLE_FIX, code="missing-data")
    index, of_session, run = (_numbers(path, table, n) for n in ("beta_index", "session", "run"))
    order = np.argsort(index, kind="stable")
    if not np.array_equal(index[order], np.arange(len(table))) or not len(table):
        found = f"{len(table)} rows, from {index.min(initial=0)} to {index.max(initial=0)}"
        expected = "beta_index 0, 1, 2, ... once each"
        raise PipelineError(path, expected, found, _TABLE_FIX, code="bad-values")
    others = sorted(set(of_session.tolist()) - {session})
    if others or (table["label"] == "").any():
        found = f"rows of session {others}" if others else "rows without a label"
        expected = f"rows of session {session}, each with a label"
        raise PipelineError(path, expected, found, _TABLE_FIX, code="inconsistent-inputs")
    labels = table["label"].to_numpy(dtype=object)
    return pd.DataFrame({"run": run[order], "image": labels[order]})


def _numbers(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return the digits of a column as numbers: 1 and ses-01 are 1."""
    found = [_DIGITS.search(text.removesuffix(".0")) for text in table[name]]
    if not all(found):
        row = found.index(None)
        shown = f"{table[name].iloc[row]!r} in row {row}"
        raise PipelineError(path, f"numbers in column {name}", shown, _TABLE_FIX, code="bad-values")
    return np.array([int(match[0]) for match in found if match], dtype=np.int64)


@dataclass(frozen=True)
class SplitList:
    """A train/test list: labels of both sides, and where it comes from."""

    name: str
    pool: str
    train: frozenset[str]
    test: frozenset[str]
    commit: str

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted ids of both sides; the files' other text has changed, ids not."""
        text = "\n".join([*sorted(self.train), "", *sorted(self.test)])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def source_commit(self) -> str:
        """The commit: given, or `COMMIT` where the ids are known to be its."""
        is_known = KNOWN_LISTS.get((self.pool, self.name)) == self.digest
        return COMMIT if is_known else self.commit

    def about(self) -> dict[str, Any]:
        """Return what belongs beside a score."""
        return {
            "list": self.name,
            "pool": self.pool,
            "commit": self.source_commit,
            "ids_sha256": self.digest,
            "n_train": len(self.train),
            "n_test": len(self.test),
        }

    def split_of(self, labels: Sequence[str]) -> list[str]:
        """Return train, test or, for an image in neither, unused."""
        return [
            "test" if label in self.test else "train" if label in self.train else "unused"
            for label in labels
        ]


def read_split_list(path: Path, name: str, pool: str, commit: str) -> SplitList:
    """Read a list; raises `PipelineError` for another schema and an id on both sides.

    The counts that the file states must hold.
    """
    fix = f"name the folder of the lists (pool/name.json) of {SPLITS_SOURCE.format(commit=COMMIT)}"
    expected = "a train/test list of LAION-fMRI"
    content = read_json(path, expected, fix)
    try:
        (variant,) = content["variants"]
        train, test = frozenset(variant["train_ids"]), frozenset(variant["test_ids"])
        counts = int(content["n_train"]), int(content["n_test"])
        is_text = all(isinstance(label, str) for label in train | test)
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(path, expected, repr(error), fix, code="wrong-kind") from error
    if counts != (len(train), len(test)) or not is_text:
        found = f"{len(train)} and {len(test)} ids"
        expected = f"{counts[0]} training and {counts[1]} test ids, as it states"
        raise PipelineError(path, expected, found, fix, code="inconsistent-inputs")
    if both := sorted(train & test):
        found = f"{len(both)} on both, as {both[0]!r}"
        raise PipelineError(path, "each image on one side", found, fix, code="leak")
    return SplitList(name, pool, train, test, commit)


def require_list_of_subject(split: SplitList, labels: Sequence[str], where: str) -> None:
    """Raise `PipelineError` where none of the labels is in the list: it is another subject's.

    Images of one subject alone carry the subject's suffix, so that shared ones do not decide.
    """
    own = {label for label in labels if label.startswith("unique_")}
    listed = {label for label in split.train | split.test if label.startswith("unique_")}
    if own and listed and not own & listed:
        found = f"{sorted(own)[0]!r} and others that it lacks"
        fix = "name the list of this subject (--pool)"
        expected = f"images of the list {split.pool}/{split.name}"
        raise PipelineError(where, expected, found, fix, code="inconsistent-inputs")


def keep_first_repeats(trials: pd.DataFrame, n_repeats: int) -> pd.Series:
    """Return the split with later presentations of test images unused.

    Test images of LAION-fMRI are shown 4 or 12 times, NSD's three times: the first three give a
    fair comparison.
    """
    number = trials.groupby("image").cumcount()
    is_late = (trials["split"] == "test") & (number >= n_repeats)
    return trials["split"].mask(is_late, "unused")
