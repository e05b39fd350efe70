"""Import a subject of LAION-fMRI (7 T, five subjects, up to 30 sessions) into the lab layout.

Each session (about 3 GB compressed, 12 GB unpacked) is fetched, read as a stream and deleted; the
mask's voxels stay. Betas are neither z-scored nor percent: the pipeline z-scores them by session.
Voxels that are not finite in any one session are dropped from all. A rerun continues.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.data.fetch.sources import fetch
from brainit.data.lab import layout
from brainit.data.open.assemble import SubjectParts, joined_trials, write_imported
from brainit.data.open.grid import GridMask, read_masks, require_grid, voxel_table
from brainit.data.open.laion_files import LaionBucket, SessionFiles
from brainit.data.open.laion_images import (
    IMAGES_FILE,
    SERVICE,
    TABLE_FILE,
    ImageService,
    request_id,
    write_images,
)
from brainit.data.open.laion_tables import (
    OUT_OF_DISTRIBUTION,
    SplitList,
    keep_first_repeats,
    read_split_list,
    read_trial_table,
    require_list_of_subject,
)
from brainit.data.open.quality import ceiling_of_three
from brainit.data.open.session_store import PRIVATE_FILE, SessionStore
from brainit.data.open.terms import LAION, require_open_terms
from brainit.data.open.volume_stream import masked_volumes, read_series, read_volume
from brainit.workflow.sources import is_remote

logger = logging.getLogger(__name__)

_CEILING_REPEATS = (12, 4)
"""Published maps, best first: of means of 12 trials (shared images) and of 4."""
_VOLUME_FIX = "delete it and run the same command again: it fetches the file anew"


@dataclass(frozen=True)
class LaionImport:
    """What to import, and from where.

    `sessions` None: all released; `split_source` with {commit} in it, or a folder; `images`: the
    images' file, None to fetch it by `request`; `shows_images`: figures may show them;
    `test_repeats` None: all presentations.
    """

    source: str
    subject: str
    sessions: tuple[int, ...] | None
    masks: tuple[str, ...]
    split: str
    pool: str
    split_source: str
    split_commit: str
    images: Path | None
    request: str | None
    accepts_terms: bool
    keeps_images_file: bool = False
    shows_images: bool = False
    test_repeats: int | None = None
    connections: int = 4
    service: str = SERVICE


def import_laion(wanted: LaionImport, folder: Path) -> None:
    """Write the folder of a subject; raises `PipelineError` before any request where terms lack.

    Where something fails later, what was made stays beside the folder for the next run.
    """
    layout.require_new(folder)
    record = folder.with_name(f"{folder.name}.terms.json")
    require_open_terms(LAION, wanted.source, wanted.accepts_terms, record)
    service = None
    if wanted.images is None:
        service = ImageService(request_id(wanted.request), wanted.service)
        service.links()  # a refusal must come before days of downloads
    bucket = LaionBucket(wanted.source, wanted.subject)
    sessions = bucket.sessions(wanted.sessions)
    store = SessionStore(folder, _origin(wanted))
    split = _split_list(wanted, store.work)
    mask = read_masks(
        [_near(bucket, label, store.work) for label in wanted.masks], "+".join(wanted.masks)
    )
    logger.info("%s: %d voxels of %s", wanted.subject, len(mask), mask.name)
    for files in sessions:
        if not store.has(files.session):
            _import_session(bucket, files, mask, store, wanted.connections)
    numbers = [files.session for files in sessions]
    trials = joined_trials(store, numbers)
    require_list_of_subject(split, trials["image"].tolist(), wanted.subject)
    trials["split"] = split.split_of(trials["image"].tolist())
    _tell_of_unlisted(trials[trials["split"] == "unused"]["image"].unique().tolist(), split)
    if wanted.test_repeats is not None:
        trials["split"] = keep_first_repeats(trials, wanted.test_repeats)
    images = _images(wanted, service, sorted(set(trials["image"])), store.work)
    ceiling, repeats = _published_ceiling(bucket, mask, store.work)
    about = _about(wanted, split, numbers, repeats)
    table = voxel_table(mask, ceiling)
    parts = SubjectParts(trials, images, table, about, images_private=True)
    write_imported(folder, store, numbers, parts)
    if service is not None and wanted.keeps_images_file:
        _keep_images_file(store.work)
    store.remove()


def _origin(wanted: LaionImport) -> dict[str, Any]:
    return {
        "data set": "laion",
        "source": wanted.source,
        "subject": wanted.subject,
        "mask": list(wanted.masks),
    }


def _near(bucket: LaionBucket, label: str, work: Path) -> Path:
    """Return a region's mask: the user's own file, or fetched by its name."""
    own = Path(label)
    if own.name.endswith((".nii", ".nii.gz")):
        return own
    return bucket.fetch(bucket.mask(label), work)


def _import_session(
    bucket: LaionBucket, files: SessionFiles, mask: GridMask, store: SessionStore, connections: int
) -> None:
    """Fetch, read and delete one session; raises `PipelineError` where table and volumes differ."""
    table_path = bucket.fetch(files.trials, store.work)
    trials = read_trial_table(table_path, files.session)
    path = bucket.fetch(files.betas, store.work, connections)
    series = read_series(path, _VOLUME_FIX)
    require_grid(path, series.shape, series.affine, mask.shape, mask.affine)
    if series.n_volumes != len(trials):
        raise PipelineError(
            path,
            f"{len(trials)} volumes, as the rows of {table_path.name}",
            f"{series.n_volumes}",
            f"delete both in {store.work} and run the same command again; if they still differ,"
            " tell the owners, and leave the session out (--sessions)",
            code="inconsistent-inputs",
        )
    logger.info(
        "session %d: %d trials of %d images, %s, slope %g, intercept %g",
        *(files.session, len(trials), trials["image"].nunique()),
        *(series.dtype, series.slope, series.intercept),
    )
    rows = masked_volumes(series, mask.flat_index, _VOLUME_FIX)
    store.write(files.session, trials, rows, len(mask))
    path.unlink()
    table_path.unlink()


def _split_list(wanted: LaionImport, work: Path) -> SplitList:
    """Fetch and read the train/test list."""
    root = wanted.split_source.replace("{commit}", wanted.split_commit)
    key = f"{wanted.pool}/{wanted.split}.json"
    path = work / f"split_{wanted.pool}_{wanted.split}.json"
    path.unlink(missing_ok=True)
    fetch(root, key, path, link=False)
    commit = wanted.split_commit if is_remote(root) else "not stated (a folder)"
    return read_split_list(path, wanted.split, wanted.pool, commit)


def _tell_of_unlisted(labels: list[str], split: SplitList) -> None:
    n_ood = sum(label.startswith(OUT_OF_DISTRIBUTION) for label in labels)
    if labels:
        logger.info(
            "%d images are in neither side of %s/%s and unused: %d out of distribution, %d others",
            *(len(labels), split.pool, split.name, n_ood, len(labels) - n_ood),
        )


def _images(
    wanted: LaionImport, service: ImageService | None, names: list[str], work: Path
) -> dict[str, Path]:
    """Return the file of each image, written for the user alone; the big file stays in `work`."""
    if service is None:
        assert wanted.images is not None
        table = wanted.images.with_name(TABLE_FILE)
        return write_images(wanted.images, table, names, work / "images")
    for name in (TABLE_FILE, IMAGES_FILE):
        service.fetch(name, work / name)
    return write_images(work / IMAGES_FILE, work / TABLE_FILE, names, work / "images")


def _keep_images_file(work: Path) -> None:
    """Move the file of all images beside the subject's folder, once that is written."""
    for name in (TABLE_FILE, IMAGES_FILE):
        (work / name).chmod(PRIVATE_FILE)
        (work / name).replace(work.parent / name)
    logger.info("%s: kept beside the subject's folder", work.parent / IMAGES_FILE)


def _published_ceiling(
    bucket: LaionBucket, mask: GridMask, work: Path
) -> tuple[NDArray[np.float32] | None, int | None]:
    """Return the published ceiling as that of means of three, and of how many trials it was."""
    for repeats in _CEILING_REPEATS:
        file = bucket.ceiling(repeats)
        if file is None:
            continue
        path = bucket.fetch(file, work)
        values, affine = read_volume(path, _VOLUME_FIX)
        require_grid(path, values.shape, affine, mask.shape, mask.affine)
        percent = np.nan_to_num(values[tuple(mask.xyz.T)], nan=0.0)
        return ceiling_of_three(percent, 1.0 / repeats), repeats
    logger.warning("%s: no published ceilings; they come from repeats alone", bucket.source)
    return None, None


def _about(
    wanted: LaionImport, split: SplitList, sessions: list[int], repeats: int | None
) -> dict[str, Any]:
    """Return the content of `subject.json`."""
    used = f"means of {repeats} trials, converted to three" if repeats else "none published"
    about: dict[str, Any] = {
        "data_set": LAION.name,
        "subject": wanted.subject,
        "source": wanted.source,
        "sessions": sessions,
        "mask": list(wanted.masks),
        "zscored": False,
        "unit": "arbitrary (GLMsingle, TYPED)",
        "hemisphere": "by the sign of x",
        "splits": split.about(),
        "test_repeats": wanted.test_repeats or "all",
        "noise_ceiling": used,
        "licence": LAION.licence,
        "images_private": not wanted.shows_images,
        "images": "not to be passed on; no commercial use; no training of general-purpose models",
        "cite": list(LAION.cite),
    }
    if wanted.images is not None:
        about["images_sha256"] = sha256_of(wanted.images)
    return about
