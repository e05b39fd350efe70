"""Import a subject of your own from GLMsingle's outputs, BIDS events and a mask.

One file of betas holds all trials in time order, or one file per session has `ses-01` in its name
or in that of a folder above. Images are those that the events name. Betas are z-scored by the
pipeline, by session.
"""

import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from brainit.core.errors import PipelineError
from brainit.data.lab import layout
from brainit.data.lab.layout import SPLITS, split_of_trials
from brainit.data.lab.search import find_files, find_images
from brainit.data.open.assemble import SubjectParts, joined_trials, write_imported
from brainit.data.open.events import read_presentations
from brainit.data.open.glmsingle_arrays import SUFFIXES, BetaFile, look_at_betas, session_rows
from brainit.data.open.grid import GridMask, read_masks, voxel_table
from brainit.data.open.session_store import SessionStore

logger = logging.getLogger(__name__)

_TYPED = "TYPED"
"""Begin of the name of GLMsingle's last model, whose betas are to be used."""
_SESSION = re.compile(r"(?:^|[_/])ses-0*(\d+)(?=[_/.]|$)")


@dataclass(frozen=True)
class GlmsingleImport:
    """What to import: betas (file or folder), events, images, masks (NIfTI, joined)."""

    source: Path
    events: Path
    images: Path
    masks: tuple[Path, ...]
    subject: str | None = None
    task: str | None = None
    column: str | None = None


def import_glmsingle(wanted: GlmsingleImport, folder: Path) -> None:
    """Write the folder of a subject.

    Raises `PipelineError` where the numbers of trials of betas and events differ, where betas and
    mask are on different grids, and for images that are missing.
    """
    layout.require_new(folder)
    mask = read_masks(list(wanted.masks), "mask") if wanted.masks else None
    shown = read_presentations(wanted.events, wanted.subject, wanted.column, wanted.task)
    shown["image"] = image_names(wanted.events, shown["image"].tolist())
    files = beta_files(wanted.source, sorted(shown["session"].unique().tolist()))
    looked = [(look_at_betas(path, mask), sessions) for path, sessions in files]
    _require_counts(looked, shown)
    fix = "name a folder with the images that the events name (--images)"
    images = find_images(wanted.images, sorted(set(shown["image"])), fix)
    store = SessionStore(folder, _origin(wanted, shown, [file.path for file, _ in looked], mask))
    for file, sessions in looked:
        _import_file(file, sessions, mask, shown, store)
    numbers = [session for _, sessions in looked for session in sessions]
    trials = joined_trials(store, numbers)
    if "split" not in trials:
        trials["split"] = split_of_trials(trials)
    table = None if mask is None else voxel_table(mask, None)
    write_imported(folder, store, numbers, SubjectParts(trials, images, table, _about(wanted)))
    store.remove()


def _origin(
    wanted: GlmsingleImport, shown: pd.DataFrame, files: list[Path], mask: GridMask | None
) -> dict[str, Any]:
    """Return what decides sessions and betas: presentations and voxels by content, files by age."""
    states = [path.stat() for path in files]
    return {
        "data set": "glmsingle",
        "source": str(wanted.source),
        "events": str(wanted.events),
        "subject": wanted.subject,
        "task": wanted.task,
        "column": wanted.column,
        "presentations": zlib.crc32(shown.to_csv(index=False).encode()),
        "betas": [
            [str(path), state.st_size, state.st_mtime_ns]
            for path, state in zip(files, states, strict=True)
        ],
        "voxels": None if mask is None else zlib.crc32(mask.flat_index.tobytes()),
    }


def image_names(where: Path, shown: list[str]) -> list[str]:
    """Return the file name of each image; raises `PipelineError` where two images have one name."""
    named: dict[str, str] = {}
    for image in shown:
        name = PurePosixPath(image.replace("\\", "/")).name
        if named.setdefault(name, image) != image:
            found = f"{named[name]} and {image}"
            fix = "give the images names of their own, in the events and in the folder"
            raise PipelineError(where, "one image per name", found, fix, code="duplicate-data")
    return [PurePosixPath(image.replace("\\", "/")).name for image in shown]


def beta_files(source: Path, sessions: list[int]) -> list[tuple[Path, list[int]]]:
    """Return the files of betas and the sessions of each, in order.

    In a folder, GLMsingle's `TYPED_...` files are taken where there are any. Raises `PipelineError`
    for none, several of one session, and sessions without a file.
    """
    if source.is_file():
        return [(source, sessions)]
    found = [p for p in find_files(source, lambda p: p.name.endswith(SUFFIXES))]
    typed = [path for path in found if path.name.startswith(_TYPED)]
    paths = typed or found
    if len(paths) == 1:
        return [(paths[0], sessions)]
    by_session: dict[int, Path] = {}
    for path in paths:
        labels = _SESSION.findall(path.relative_to(source).as_posix())
        shown = path.relative_to(source)
        if not labels:
            fix = "name the file of betas itself, or a folder that holds its files alone"
            expected = "ses-01 in the name of each file of betas"
            raise PipelineError(source, expected, f"{shown}", fix, code="unknown-name")
        other = by_session.setdefault(int(labels[-1]), path)
        if other != path:
            found_text = f"{other.relative_to(source)} and {shown}"
            fix = "keep one of them, or name a folder that holds the betas alone"
            expected = f"one file of session {int(labels[-1])}"
            raise PipelineError(source, expected, found_text, fix, code="duplicate-data")
    if set(by_session) != set(sessions):
        expected = f"betas of the sessions of the events: {sessions}"
        fix = "take betas and events of the same sessions"
        found_text = f"sessions {sorted(by_session)}"
        raise PipelineError(source, expected, found_text, fix, code="inconsistent-inputs")
    return [(by_session[session], [session]) for session in sessions]


def _require_counts(files: list[tuple[BetaFile, list[int]]], shown: pd.DataFrame) -> None:
    for file, sessions in files:
        n_shown = int(shown["session"].isin(sessions).sum())
        if file.n_trials != n_shown:
            raise PipelineError(
                file.path,
                f"{n_shown} trials, as the events of sessions {sessions} show images",
                f"{file.n_trials}",
                "take the events of the runs that GLMsingle was given; if it modelled other events"
                " too, name the images' task (--task) or column (--image-column)",
                code="inconsistent-inputs",
            )
    if "split" in shown and not shown["split"].isin(SPLITS).all():
        other = sorted(set(shown["split"].map(str)) - set(SPLITS))
        raise PipelineError(
            "events", f"column split of {SPLITS}", f"{other}", "use these words", code="bad-values"
        )


def _import_file(
    file: BetaFile,
    sessions: list[int],
    mask: GridMask | None,
    shown: pd.DataFrame,
    store: SessionStore,
) -> None:
    if all(store.has(session) for session in sessions):
        return
    tables = [shown[shown["session"] == session].drop(columns="session") for session in sessions]
    n_voxels = file.shape[0] if mask is None else len(mask)
    rows = session_rows(file, mask, [len(table) for table in tables])
    for session, table, values in zip(sessions, tables, rows, strict=True):
        store.write(session, table.reset_index(drop=True), values, n_voxels)
        logger.info("session %d: %d trials of %s", session, len(table), file.path.name)


def _about(wanted: GlmsingleImport) -> dict[str, Any]:
    """Return the content of `subject.json`."""
    return {
        "data_set": "own, GLMsingle",
        "source": wanted.source.name,
        "mask": [path.name for path in wanted.masks],
        "zscored": False,
        "hemisphere": "by the sign of x" if wanted.masks else "not known",
    }
