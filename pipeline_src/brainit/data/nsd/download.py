"""Download NSD and COCO, except the betas, which `prepare_betas` streams (paper 5.1)."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of, write_text
from brainit.core.progress import ByteProgress
from brainit.core.settings import NsdSettings
from brainit.data.fetch.part_files import ProgressCallback
from brainit.data.fetch.remote import BLOCK_BYTES, TransientError, open_remote
from brainit.data.fetch.sources import connections_per_file, download_file, fetch, local_file
from brainit.data.fetch.threads import run_all
from brainit.data.fetch.transfers import Fetched
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.anatomy import anatomy_keys
from brainit.data.nsd.terms import require_terms
from brainit.workflow.sources import is_remote

logger = logging.getLogger(__name__)

_HASHED_BYTES = 64 << 20

# The RSC labels are not in NSD's bucket: Algonauts 2023 made them (Gifford et al. 2023, CC BY-NC).
_RSC_FOLDER = (
    "https://raw.githubusercontent.com/gifale95/algonauts_2023/"
    "4bfbf43dff4fac635d10abbae5b994291629358f/code/01_challenge_data_preparation"
)
_RSC_SHA256 = {
    "lh": "ead5ddca8aaeb66de2ee4ce58aedebe79d04c39517d8e70fbee55cf9ea54ccd7",
    "rh": "cc9401ad45b43b6d1757c148e3b8208fedddb918ff43e0cc82447ba5da812f77",
}

# Only one source states it, so a different sum is a warning.
_COCO_MD5 = "7ebc562819fdb32847aab79530457326"


@dataclass(frozen=True)
class Fetching:
    """What every fetch from NSD needs: the source, a folder to work in, the manifest to write."""

    source: str
    """NSD's root: https://, s3:// or a folder."""
    work: Path
    """Folder of files until all have come."""
    manifest: Path
    """List of files (.json)."""


def metadata_keys(nsd: NsdSettings) -> list[str]:
    """Return the keys of NSD's files that the settings need, except betas and stimuli."""
    subjects = sorted(nsd.subjects)
    keys = [nsd_paths.EXPDESIGN, nsd_paths.STIM_INFO]
    keys += [nsd_paths.responses(subject) for subject in subjects]
    return [*keys, *anatomy_keys(nsd, subjects)]


FetchFile = Callable[[Path, ProgressCallback, Event], Fetched | None]
"""Write one file to a path, unless the event is set; return the record of a download."""


@dataclass(frozen=True)
class FileToFetch:
    """A file to fetch: its key below `source`, its target and the function that fetches it."""

    key: str
    source: str
    target: Path
    fetch_to: FetchFile


def download(source: str, nsd: NsdSettings, out: Path, work: Path, manifest: Path) -> None:
    """Fetch the needed files of NSD to `out`, several at a time.

    Files stay in `work` until all are complete, so that a rerun fetches only missing ones. The
    manifest lists file, bytes, source and SHA-256 (up to 64 MiB); for remote files also address,
    ETag and time. Raises `PipelineError` where NSD's terms are not accepted (before any request)
    and where a file cannot be fetched.
    """
    require_terms(nsd, source, manifest.parent)
    keys = metadata_keys(nsd)
    n_each = connections_per_file(len(keys), nsd.connections)
    files = [
        FileToFetch(key, source, out / key, _fetch_function(source, key, n_each)) for key in keys
    ]
    fetch_all(files, work, nsd.connections, manifest)


def download_images(
    source: str,
    coco_source: str,
    nsd: NsdSettings,
    stimuli: Path,
    coco: Path,
    work: Path,
    manifest: Path,
) -> None:
    """Fetch NSD's stimuli (39.6 GB) and COCO's archive (19 GB), as `download` does.

    Warns where the MD5 sum of COCO's archive differs from the known one.
    """
    require_terms(nsd, source, manifest.parent)
    targets = (
        (nsd_paths.STIMULI, source, stimuli),
        (nsd_paths.COCO_ARCHIVE, coco_source, coco),
    )
    n_each = connections_per_file(len(targets), nsd.connections)
    # The workflow compares the time stamps of these files; a link would share its source's.
    files = [
        FileToFetch(key, root, target, partial(fetch, root, key, link=False, connections=n_each))
        for key, root, target in targets
    ]
    sizes = [_size(root, key) for key, root, _ in targets]
    n_total = None if None in sizes else sum(size for size in sizes if size)
    fetch_all(files, work, nsd.connections, manifest, n_total)
    if is_remote(coco_source):
        _warn_of_unknown_coco(coco)


def download_external(
    coco_source: str, nsd: NsdSettings, coco: Path, work: Path, manifest: Path
) -> None:
    """Fetch COCO's archive alone, for a cohort without NSD's subjects; it is not under NSD's terms.

    Warns where the MD5 sum of the archive differs from the known one.
    """
    key = nsd_paths.COCO_ARCHIVE
    fetch_it = partial(fetch, coco_source, key, link=False, connections=nsd.connections)
    file = FileToFetch(key, coco_source, coco, fetch_it)
    fetch_all([file], work, nsd.connections, manifest, _size(coco_source, key))
    if is_remote(coco_source):
        _warn_of_unknown_coco(coco)


def _size(source: str, key: str) -> int | None:
    """Return the bytes of a file at its source; None where the server does not state them now."""
    if not is_remote(source):
        return local_file(source, key).stat().st_size
    try:
        with open_remote(f"{source.rstrip('/')}/{key}") as stream:
            return stream.n_bytes
    except TransientError:
        return None


def fetch_all(
    files: Sequence[FileToFetch],
    work: Path,
    connections: int,
    manifest: Path,
    n_total: int | None = None,
) -> None:
    """Fetch every file into `work`, then move all to their targets and write the manifest.

    The first failure, or an interruption, ends all transfers; a rerun continues them. Progress
    shows the time left if `n_total`, the bytes of all files, is given.
    """
    progress = ByteProgress("download", n_total)
    stop = Event()
    calls = [partial(_fetch_once, file, work, progress, stop) for file in files]
    entries = run_all(calls, connections, stop)
    progress.close()
    for file in files:
        file.target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / file.key, file.target)
    write_text(manifest, json.dumps({"files": entries}, indent=1) + "\n")
    shutil.rmtree(work)


def _fetch_once(
    file: FileToFetch, work: Path, progress: ByteProgress, stop: Event
) -> dict[str, Any]:
    """Return the manifest entry of a file, fetched now or by an earlier run of this command."""
    path = work / file.key
    record = path.with_name(f".{path.name}.entry.json")
    if path.is_file() and record.is_file():
        entry: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if entry["source"] == file.source and entry["bytes"] == path.stat().st_size:
            progress.tell(entry["bytes"])
            return entry
    fetched = file.fetch_to(path, progress.tell, stop)
    n_bytes = path.stat().st_size
    entry = {
        "file": file.key,
        "bytes": n_bytes,
        "sha256": sha256_of(path) if n_bytes <= _HASHED_BYTES else None,
        "source": file.source,
    }
    if fetched is not None:
        entry |= {"url": fetched.url, "etag": fetched.etag, "fetched_at": fetched.fetched_at}
    write_text(record, json.dumps(entry))
    return entry


def _fetch_function(source: str, key: str, connections: int) -> FetchFile:
    """Return the function that fetches `key`; the RSC labels have another remote source."""
    if is_remote(source) and key.endswith(".nsdgeneralRSC.mgz"):
        return _fetch_rsc
    return partial(fetch, source, key, connections=connections)


def _fetch_rsc(target: Path, on_bytes: ProgressCallback, stop: Event) -> Fetched:
    """Download an RSC label; raises `PipelineError` where its SHA-256 differs."""
    url = f"{_RSC_FOLDER}/{target.name}"
    fetched = download_file(url, target, on_bytes=on_bytes, stop=stop)
    expected, found = _RSC_SHA256[target.name[:2]], sha256_of(target)
    if found != expected:
        target.unlink()
        raise PipelineError(
            target,
            f"SHA-256 {expected}",
            found,
            "rerun download, or set nsd.mask: nsdgeneral",
            code="checksum",
        )
    return fetched


def _warn_of_unknown_coco(path: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != _COCO_MD5:
        found = digest.hexdigest()
        logger.warning("%s: MD5 is %s, the known one is %s", path, found, _COCO_MD5)
