"""Join the images and trials of a cohort of several data sets into one set (section 3.1).

An image's number, `nsd_id` in all tables, is its row in the joined images: those of NSD first, with
their own numbers, then those of each other subject in turn. Pictures that are equal, byte by byte
as stored, have one number. What tests in one data set neither trains nor validates in another: such
trials, also with a near copy, are not used. Nor are those that would train with a picture that
validates in another set, since the best epoch is chosen by those pictures. Other crops of
a picture are not found (`data.picture_hash`). External images: `data.external_images`.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import read_table, write_table
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.shards import join_shards
from brainit.data.picture_hash import Pictures, describe, near_pairs
from brainit.data.pixels import PixelStore
from brainit.data.trials import read_trials, write_trials
from brainit.workflow.cohort import LAB, NSD, dataset_of, is_nsd

logger = logging.getLogger(__name__)

_RANK = {"test": 2, "val": 1, "train": 0}
SPLIT_OF_RANK = {rank: split for split, rank in _RANK.items()} | {-1: "unused"}
"""Split of each `ShownSet.split`."""
_PER_READ = 256


@dataclass(frozen=True)
class JoinFiles:
    """Files of a cohort: its image sets, the names of their images, and each subject's trials."""

    stimuli: Mapping[str, Path]
    """images of nsd, and of each other subject: a folder of shards"""
    trials: Mapping[str, Path]
    """trial table of each subject"""
    out: Path
    """folder of the joined images and trials to write"""
    names: Mapping[str, Path] = field(default_factory=dict)
    """names of the images of each subject that is not NSD's (.csv)"""


@dataclass(frozen=True)
class ShownSet:
    """The images of a set that its subjects saw, by ascending row.

    `first` is the number of the set's row 0 in the joined images; `digests` are of the stored
    bytes; `split` is the highest of `_RANK` of each image, -1 if it has none.
    """

    name: str
    first: int
    rows: NDArray[np.int64]
    digests: list[bytes]
    pictures: Pictures
    split: NDArray[np.int64]


def join_cohort(files: JoinFiles, most_bits: int) -> None:
    """Write the joined images, their names, shared pictures and the trials of each subject.

    `most_bits` is the distance of hashes up to which pictures may be near copies. Raises
    `PipelineError` for stores of different kinds and for a subject that has no training trial left.
    """
    trials = {subject: read_trials(path) for subject, path in files.trials.items()}
    stores = {name: PixelStore(path) for name, path in files.stimuli.items()}
    firsts = dict(zip(stores, np.cumsum([0, *map(len, stores.values())]).tolist(), strict=False))
    shown = [
        shown_set(name, firsts[name], store, [t for s, t in trials.items() if set_of(s) == name])
        for name, store in stores.items()
    ]
    number = _numbers_of_equals(shown)
    pairs = shared_pictures(shown, most_bits)
    blocked = _blocked(pairs)
    _remove_former_members(files.out / "trials", trials)
    for subject, table in trials.items():
        first = firsts[set_of(subject)]
        joined = _joined_trials(table, first, number, blocked[set_of(subject)])
        _require_training(subject, table, joined)
        write_trials(files.out / "trials" / f"{subject}.csv", joined)
    write_table(files.out / "images" / "shared.csv", _shared_table(pairs, files, firsts))
    write_table(files.out / "images" / "names.csv", _names_table(shown, files, firsts))
    join_shards(files.out / "images" / "stimuli", list(files.stimuli.values()))


def _remove_former_members(folder: Path, members: Iterable[str]) -> None:
    """Remove trial tables of subjects who left the cohort: their images are joined no more."""
    kept = {f"{subject}.csv" for subject in members}
    for path in folder.glob("*.csv"):
        if path.name not in kept:
            path.unlink()


def set_of(subject: str) -> str:
    """Return the set of a subject's images: nsd, or its own."""
    return NSD if is_nsd(subject) else subject


def shown_set(name: str, first: int, store: PixelStore, tables: list[pd.DataFrame]) -> ShownSet:
    """Return the images of a set that are in its tables of `nsd_id` (row) and `split`."""
    table = pd.concat([t[["nsd_id", "split"]] for t in tables])
    rank = table["split"].map(_RANK).fillna(-1).astype(np.int64)
    split = rank.groupby(table["nsd_id"]).max().sort_index()
    rows = split.index.to_numpy(np.int64)
    digests, hashes, small = [], [], []
    for start in progress(range(0, len(rows), _PER_READ), f"pictures of {name}", unit="block"):
        for pixels in store.pixels(rows[start : start + _PER_READ]):
            digests.append(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest())
            code, version = describe(pixels)
            hashes.append(code)
            small.append(version)
    pictures = Pictures(np.array(hashes, dtype=np.uint64), np.stack(small))
    return ShownSet(name, first, rows, digests, pictures, np.asarray(split, dtype=np.int64))


def _numbers_of_equals(shown: list[ShownSet]) -> dict[int, int]:
    """Return joined number -> that of its equal in an earlier set.

    Only pictures that occur once in both sets: within a set, its own table says what is one image.
    """
    known: dict[bytes, int] = {}
    number: dict[int, int] = {}
    for one in shown:
        places = defaultdict(list)
        for place, digest in enumerate(one.digests):
            places[digest].append(one.first + int(one.rows[place]))
        for digest, numbers in places.items():
            if len(numbers) == 1 and digest in known:
                number[numbers[0]] = known[digest]
            elif digest not in known:
                known[digest] = numbers[0] if len(numbers) == 1 else -1
    return {own: equal for own, equal in number.items() if equal >= 0}


@dataclass(frozen=True)
class SharedPicture:
    """A picture of two sets: number and split in both, bits between the hashes, correlation."""

    sets: tuple[str, str]
    rows: tuple[int, int]
    splits: tuple[int, int]
    bits: int
    correlation: float
    is_equal: bool


def shared_pictures(shown: list[ShownSet], most_bits: int) -> list[SharedPicture]:
    """Return the pictures that two sets share, equal or near, also of more than two sets."""
    found = []
    for place, first in enumerate(shown):
        for second in shown[place + 1 :]:
            for a, b, bits, correlation in near_pairs(first.pictures, second.pictures, most_bits):
                rows = int(first.rows[a]), int(second.rows[b])
                is_equal = first.digests[a] == second.digests[b]
                splits = int(first.split[a]), int(second.split[b])
                sets = first.name, second.name
                found.append(SharedPicture(sets, rows, splits, bits, correlation, is_equal))
            found += _equal_plain(first, second)
    return found


def _equal_plain(first: ShownSet, second: ShownSet) -> Iterable[SharedPicture]:
    """Yield equal plain pictures, which hashes don't compare."""
    plain = {d: k for k, d in enumerate(first.digests) if not first.pictures.small[k].any()}
    for b, digest in enumerate(second.digests):
        if (a := plain.get(digest)) is not None:
            rows, splits = (int(first.rows[a]), int(second.rows[b])), (0, 0)
            splits = int(first.split[a]), int(second.split[b])
            yield SharedPicture((first.name, second.name), rows, splits, 0, 1.0, True)


def _blocked(pairs: list[SharedPicture]) -> dict[str, dict[int, int]]:
    """Return the highest rank in another set of each shared picture, by set and row."""
    blocked: dict[str, dict[int, int]] = defaultdict(dict)
    for pair in pairs:
        for here, there in ((0, 1), (1, 0)):
            known, row = blocked[pair.sets[here]], pair.rows[here]
            known[row] = max(pair.splits[there], known.get(row, -1))
    return blocked


def _joined_trials(
    table: pd.DataFrame, first: int, number: Mapping[int, int], blocked: Mapping[int, int]
) -> pd.DataFrame:
    """Return a table with joined numbers; trials that `blocked` outranks are unused.

    A picture that tests elsewhere neither trains nor validates; one that validates doesn't train.
    """
    own = table["nsd_id"] + first
    joined = table.assign(nsd_id=own.map(lambda n: number.get(int(n), int(n))))
    rank = table["split"].map(_RANK)
    elsewhere = table["nsd_id"].map(lambda row: blocked.get(int(row), -1))
    joined.loc[rank < elsewhere, "split"] = "unused"
    return joined


def _require_training(subject: str, before: pd.DataFrame, after: pd.DataFrame) -> None:
    n_before, n_after = ((table["split"] == "train").sum() for table in (before, after))
    if n_dropped := n_before - n_after:
        logger.info(
            "%s: %d training trials unused, shown elsewhere for test or validation",
            subject,
            n_dropped,
        )
    if n_before and not n_after:
        raise PipelineError(
            f"the trials of {subject}",
            "training pictures that no other data set of the cohort tests or validates with",
            f"none of {n_before} training trials",
            f"remove {subject} from cohort.subjects, or the data sets that hold its pictures out",
            code="missing-data",
        )


def _shared_table(
    pairs: list[SharedPicture], files: JoinFiles, firsts: Mapping[str, int]
) -> pd.DataFrame:
    """Return one row per shared picture, with its names, splits and distance."""
    names = {name: _image_names(name, files) for name in firsts}
    columns = ("image", "same_as", "is_equal", "bits", "correlation", "split", "split_there")
    rows = [
        (
            names[p.sets[1]](p.rows[1]),
            names[p.sets[0]](p.rows[0]),
            int(p.is_equal),
            p.bits,
            round(p.correlation, 4),
            SPLIT_OF_RANK[p.splits[1]],
            SPLIT_OF_RANK[p.splits[0]],
        )
        for p in pairs
    ]
    return pd.DataFrame(rows, columns=list(columns))


def _names_table(
    shown: list[ShownSet], files: JoinFiles, firsts: Mapping[str, int]
) -> pd.DataFrame:
    """Return number and name of every image that a subject saw."""
    rows = []
    for one in shown:
        name = _image_names(one.name, files)
        rows += [(one.first + row, name(row)) for row in one.rows.tolist()]
    return pd.DataFrame(rows, columns=["nsd_id", "image"])


def _image_names(name: str, files: JoinFiles) -> "_Namer":
    known = files.names.get(name)
    if known is None:
        return _Namer(name, {})
    table = read_table(known, ("nsd_id", "image"), "prepare_lab_subject")
    return _Namer(name, dict(zip(table["nsd_id"].tolist(), table["image"], strict=True)))


@dataclass(frozen=True)
class _Namer:
    """Names the rows of a set: `nsd/00123`, `lab/anna/cat.png`, `laion/sub-01/tree.jpg`."""

    name: str
    known: Mapping[int, object]

    def __call__(self, row: int) -> str:
        if self.name == NSD:
            return f"{NSD}/{row:05d}"
        dataset = dataset_of(self.name)
        member = self.name if dataset == LAB else self.name.removeprefix(f"{dataset}-")
        return f"{dataset}/{member}/{self.known.get(row, row)}"
