"""Import a subject of MOSAIC (eight data sets, 93 subjects, fsLR 32k) into the lab layout.

Betas are z-scored already, by session or by groups of sessions, as the data set's authors chose:
`subject.json` says so, and the pipeline does not z-score them again. The file has no sessions: with
the original trial tables they are recovered, without them all trials are one session. Images come
from each data set's origin; trials of artificial images are left out. One trial is in memory at a
time.
"""

import logging
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset
from brainit.core.progress import progress
from brainit.core.reading import open_npy, reading
from brainit.data.fetch.listing import ListedFile, list_files
from brainit.data.fetch.sources import fetch
from brainit.data.image_files import STIMULI_DATASET
from brainit.data.lab import layout
from brainit.data.lab.search import find_images
from brainit.data.open import mosaic_sessions, mosaic_tables
from brainit.data.open.assemble import SubjectParts, joined_trials, write_imported
from brainit.data.open.bids import only
from brainit.data.open.mosaic_file import (
    N_CORTEX,
    MosaicFile,
    cortex_rows,
    published_ceiling,
    read_mosaic_file,
)
from brainit.data.open.mosaic_geometry import vertex_table
from brainit.data.open.session_store import SessionStore, work_folder
from brainit.data.open.terms import MOSAIC, require_open_terms
from brainit.workflow.cohort import HAS_SESSIONS, SECONDS_PER_TRIAL
from brainit.workflow.sources import is_remote
from brainit.workflow.terms import AGREEMENT_FORM, TERMS

logger = logging.getLogger(__name__)

SOURCE = "s3://mosaicfmri"
_NSD = "NSD"
_CRC32 = re.compile(r"_crc32-([0-9A-Fa-f]{8})$")
_BLOCK_BYTES = 1 << 20
_NO_LIST_WARNING = (
    "%s: no lists of train and test trials (--splits): by the phase in the file, which keeps"
    " training images that are near copies of test images. Do not compare such scores"
)


@dataclass(frozen=True)
class MosaicImport:
    """What to import, and from where.

    `subject` as sub-01_NSD; `stimuli`: its data set's stiminfo.tsv; `shown`: the original trial
    tables; `lists`: folder of train and test lists; `vertices`: .npy of places of cortex, numbers
    or marks; each None where it lacks. `images`: folder of pictures, or NSD's images (.hdf5).
    """

    source: str
    subject: str
    images: Path
    stimuli: Path | None
    shown: Path | None
    task: str | None
    lists: Path | None
    geometry: Path | None
    vertices: Path | None
    accepts_terms: bool
    accepts_nsd_terms: bool
    test_repeats: int | None = None
    connections: int = 4
    seconds_per_trial: float | None = None
    """by which times are counted; None: by sessions, and not at all without trial tables"""


def import_mosaic(wanted: MosaicImport, folder: Path) -> None:
    """Write the folder of a subject; raises `PipelineError` before any request where terms lack."""
    layout.require_new(folder)
    _require_terms(wanted, folder)
    vertices = read_vertices(wanted.vertices)
    path, crc32 = _subject_file(wanted, work_folder(folder))
    file = read_mosaic_file(path)
    if file.subject != wanted.subject:
        found, fix = file.subject, "name the file's subject (--subject)"
        raise PipelineError(path, wanted.subject, found, fix, code="inconsistent-inputs")
    stimuli = None
    if wanted.stimuli is not None:
        stimuli = mosaic_tables.read_stimulus_table(wanted.stimuli)
    n_missing = None
    if stimuli is not None:
        n_missing = mosaic_tables.repeats_missing(stimuli, file.trials, file.subject)
    listed = {} if wanted.lists is None else mosaic_tables.read_lists(wanted.lists)
    natural, stimuli = mosaic_tables.without_artificial(file.trials, file.subject, stimuli, listed)
    n_artificial = len(file.trials) - len(natural)
    file = replace(file, trials=natural)
    split_of = _split_of_trials(wanted, file, listed)
    trials = _ordered(wanted, file, stimuli)
    store = SessionStore(folder, _origin(wanted, crc32, vertices, trials))
    _import_sessions(file, trials, vertices, store)
    numbers = sorted(trials["session"].unique().tolist())
    joined = joined_trials(store, numbers)
    # Not kept with a session: an import that continues may be given other lists.
    joined["split"] = joined.pop("name").map(split_of)
    if wanted.test_repeats is not None:
        number = joined.groupby("image").cumcount()
        late = (joined["split"] == "test") & (number >= wanted.test_repeats)
        joined["split"] = joined["split"].mask(late, "unused")
    files = _images(wanted, joined, stimuli, store.work)
    joined["image"] = joined["image"].map({stem: file.name for stem, file in files.items()})
    ceiling, ceiling_name = published_ceiling(file, vertices)
    about = _about(wanted, file, ceiling_name)
    counts = {"n_repeats_missing": n_missing, "n_artificial_left_out": n_artificial}
    about = {**about, "crc32": crc32, **counts}
    table = vertex_table(vertices, wanted.geometry, ceiling)
    parts = SubjectParts(joined, {f.name: f for f in files.values()}, table, about)
    write_imported(folder, store, numbers, parts, dtype="float16")
    store.remove()


def _require_terms(wanted: MosaicImport, folder: Path) -> None:
    record = folder.with_name(f"{folder.name}.terms.json")
    require_open_terms(MOSAIC, wanted.source, wanted.accepts_terms, record)
    is_nsd = wanted.subject.endswith(f"_{_NSD}")
    if is_nsd and is_remote(wanted.source) and not wanted.accepts_nsd_terms:
        raise PipelineError(
            wanted.source,
            "NSD's terms accepted (--accept-nsd-terms): the file holds NSD's responses",
            "no --accept-nsd-terms",
            f"read the terms ({TERMS}), file the data access agreement ({AGREEMENT_FORM}), then add"
            " --accept-nsd-terms",
            code="terms",
        )


def read_vertices(path: Path | None) -> NDArray[np.int64]:
    """Return the chosen places of cortex, ascending; None: all 59,412.

    A file (.npy) holds their numbers, or a mark (bool) for each place of cortex.
    """
    if path is None:
        return np.arange(N_CORTEX)
    expected, fix = f"numbers below {N_CORTEX}, or {N_CORTEX} marks", "name such a .npy (--mask)"
    values = open_npy(path, expected, fix)
    if values.dtype == np.bool_ and values.shape == (N_CORTEX,) and values.any():
        return np.flatnonzero(values)
    is_numbers = values.dtype.kind in "iu" and values.ndim == 1 and len(values)
    if not is_numbers or values.min() < 0 or values.max() >= N_CORTEX:
        found = f"{values.dtype} of {values.shape}"
        raise PipelineError(path, expected, found, fix, code="wrong-shape")
    return np.unique(values).astype(np.int64)


def _subject_file(wanted: MosaicImport, work: Path) -> tuple[Path, str]:
    """Return the subject's file, fetched if it is remote, and its CRC-32 (8 hexadecimal digits).

    Raises `PipelineError` where the name states another CRC-32.
    """
    if Path(wanted.source).is_file():
        path = Path(wanted.source)
    else:
        found = [f for f in list_files(wanted.source) if _is_file_of(f, wanted.subject)]
        fix = "name a subject as sub-01_NSD (--subject), and a bucket or folder with its HDF5 file"
        file = only(found, wanted.source, f"the file of {wanted.subject}", fix)
        path = work / file.name
        if not (path.is_file() and path.stat().st_size == file.n_bytes):
            fetch(wanted.source, file.key, path, connections=wanted.connections)
    crc32 = f"{_crc32_of(path):08x}"
    stated = _CRC32.search(path.stem)
    if stated and stated[1].lower() != crc32:
        fix = "delete it and run the same command again: it fetches the file anew"
        raise PipelineError(path, f"CRC-32 {stated[1]}", crc32, fix, code="checksum")
    return path, crc32


def _is_file_of(file: ListedFile, subject: str) -> bool:
    name, dot, suffix = file.name.rpartition(".")
    return f"{dot}{suffix}" == ".hdf5" and _CRC32.sub("", name) == subject


def _crc32_of(path: Path) -> int:
    value = 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK_BYTES):
            value = zlib.crc32(block, value)
    return value


def _ordered(wanted: MosaicImport, file: MosaicFile, stimuli: pd.DataFrame | None) -> pd.DataFrame:
    """Return all trials with session and run, in time order where that is known."""
    if wanted.shown is None:
        logger.warning(
            "%s: sessions are not in the file, and no trial tables are given (--events): all trials"
            " are one session, and amounts of data by time (1 h, 30 min) are %s",
            file.subject,
            "refused (--seconds-per-trial)" if wanted.seconds_per_trial is None else "by trials",
        )
        return file.trials.assign(session=1, run=1)
    shown = mosaic_sessions.read_shown(wanted.shown, file.subject, stimuli, wanted.task)
    counts = mosaic_sessions.expected_counts(file.trials, stimuli, file.subject)
    return mosaic_sessions.join_sessions(file.trials, shown, counts, wanted.shown)


def _split_of_trials(
    wanted: MosaicImport, file: MosaicFile, listed: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the split of each trial by its name, as the lists say, or the phase without lists."""
    names = file.trials["name"].tolist()
    if wanted.lists is None:
        logger.warning(_NO_LIST_WARNING, file.subject)
        return dict(zip(names, file.trials["phase"], strict=True))
    splits = [listed.get(name, "unused") for name in names]
    if "train" not in splits or "test" not in splits:
        found = f"{sum(s != 'unused' for s in splits)} trials of {len(splits)} named"
        fix = "take the lists that name this subject's trials"
        expected = f"training and test trials of {file.subject}"
        raise PipelineError(wanted.lists, expected, found, fix, code="inconsistent-inputs")
    logger.info("%s: %d trials are in no list, and unused", file.subject, splits.count("unused"))
    return dict(zip(names, splits, strict=True))


def _origin(
    wanted: MosaicImport, crc32: str, vertices: NDArray[np.int64], trials: pd.DataFrame
) -> dict[str, Any]:
    """Return what decides sessions and betas: file, places, and the trials of each session."""
    places = trials[["name", "session", "run"]].to_csv(index=False)
    return {
        "data set": "mosaic",
        "subject": wanted.subject,
        "crc32": crc32,
        "vertices": zlib.crc32(vertices.tobytes()),
        "sessions": str(wanted.shown),
        "task": wanted.task,
        "trials": zlib.crc32(places.encode()),
    }


def _import_sessions(
    file: MosaicFile, trials: pd.DataFrame, vertices: NDArray[np.int64], store: SessionStore
) -> None:
    for session, rows in trials.groupby("session"):
        number = int(str(session))
        if store.has(number):
            continue
        names = progress(rows["name"].tolist(), f"session {number}", unit="trial")
        values = cortex_rows(file, names, vertices)
        table = rows[["run", "stem", "name"]].rename(columns={"stem": "image"})
        store.write(number, table, values, len(vertices))


def _images(
    wanted: MosaicImport, trials: pd.DataFrame, stimuli: pd.DataFrame | None, work: Path
) -> dict[str, Path]:
    """Return the picture of each stem."""
    stems = sorted(set(trials["image"]))
    if wanted.images.is_file():
        return write_nsd_images(wanted.images, stems, stimuli, work / "images")
    fix = "name a folder with the pictures of the data set's origin (--images)"
    # With a suffix, so that a stem with points in it keeps them all.
    found = find_images(wanted.images, [f"{stem}.jpg" for stem in stems], fix)
    return {name.removesuffix(".jpg"): path for name, path in found.items()}


def write_nsd_images(
    source: Path, stems: list[str], stimuli: pd.DataFrame | None, folder: Path
) -> dict[str, Path]:
    """Write NSD's picture of each stem as PNG: the row of its HDF5 file that `alias` names."""
    fix = "pass nsd_stimuli.hdf5 (--images) and nsd_stiminfo.tsv (--stimuli)"
    if stimuli is None or "alias" not in stimuli:
        raise PipelineError(source, "a table with alias", "none", fix, code="missing-data")
    alias = dict(zip(stimuli["stem"], stimuli["alias"], strict=True))
    expected = f"HDF5 with '{STIMULI_DATASET}' (images, height, width, rgb)"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with reading(source, expected, fix, *HDF5_ERRORS), open_hdf5(source) as handle:
        dataset = own_dataset(handle, STIMULI_DATASET)
        if dataset is None or dataset.ndim != 4 or dataset.dtype != np.uint8:
            raise PipelineError(source, expected, f"{sorted(handle)}", fix, code="missing-data")
        for stem in progress(stems, "images", unit="image"):
            number = alias.get(stem, "")
            if not number.isdecimal() or int(number) >= len(dataset):
                found = f"{number!r} of {stem!r}"
                raise PipelineError(source, "a row of each image", found, fix, code="missing-data")
            files[stem] = folder / f"{stem}.png"
            if not files[stem].is_file():
                with atomic_path(files[stem]) as partial:
                    Image.fromarray(dataset[int(number)]).save(partial, format="PNG")
    return files


def _about(wanted: MosaicImport, file: MosaicFile, ceiling: str | None) -> dict[str, Any]:
    """Return the content of `subject.json`."""
    lists = None if wanted.lists is None else _list_digests(wanted.lists)
    seconds = wanted.seconds_per_trial
    return {
        "data_set": MOSAIC.name,
        "subject": file.subject,
        "source": wanted.source,
        "zscored": True,
        "unit": "z-scores as published: by session or by groups of sessions",
        "space": "fsLR 32k, vertices of cortex",
        HAS_SESSIONS: wanted.shown is not None,
        **({} if seconds is None else {SECONDS_PER_TRIAL: seconds}),
        "sessions": "one, not the scanner's" if wanted.shown is None else "from the trial tables",
        "splits": lists or "phase in the file (no lists)",
        "test_repeats": wanted.test_repeats or "all",
        "noise_ceiling": f"{ceiling}, converted to three" if ceiling else "none published",
        "licence": MOSAIC.licence,
        "cite": list(MOSAIC.cite),
    }


def _list_digests(folder: Path) -> dict[str, str]:
    """Return the CRC-32 of each list, for the record."""
    names = (folder / name for name in mosaic_tables.LISTS.values())
    return {path.name: f"{_crc32_of(path):08x}" for path in names if path.is_file()}
