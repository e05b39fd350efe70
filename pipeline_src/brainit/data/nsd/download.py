"""Everything of NSD and COCO but the betas, which `prepare_betas` streams (paper 5.1)."""

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
from brainit.data.fetch.part_files import Tell
from brainit.data.fetch.remote import BLOCK_BYTES, TransientError, open_remote
from brainit.data.fetch.sources import download_file, fetch, local_file, shared_by
from brainit.data.fetch.threads import run_all
from brainit.data.fetch.transfers import Fetched
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.anatomy import anatomy_keys
from brainit.data.nsd.terms import is_remote, require_terms

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

# One source alone states it, so another sum is a warning.
_COCO_MD5 = "7ebc562819fdb32847aab79530457326"


def metadata_keys(nsd: NsdSettings) -> list[str]:
    """Return the keys of NSD's tree that the settings need, betas and stimuli excepted."""
    subjects = sorted(nsd.subjects)
    keys = [nsd_paths.EXPDESIGN, nsd_paths.STIM_INFO]
    keys += [nsd_paths.responses(subject) for subject in subjects]
    return [*keys, *anatomy_keys(nsd, subjects)]


Fetch = Callable[[Path, Tell, Event], Fetched | None]
"""Puts one file at a path, unless the event ends it, and says what was fetched."""


@dataclass(frozen=True)
class Wanted:
    """One file to fetch: its key, the root it is below, where it goes, and how it is got."""

    key: str
    source: str
    target: Path
    get: Fetch


def download(source: str, nsd: NsdSettings, out: Path, work: Path, manifest: Path) -> None:
    """Fetch what is needed of NSD's tree to `out`, several files at a time.

    Files stand in `work` until all are whole, so that a rerun fetches only what is missing. The
    manifest names file, bytes, source and, up to 64 MiB, SHA-256; of remote files also ETag and
    time. Raises `PipelineError` where NSD's terms are not accepted (before any request) and where a
    file cannot be had.
    """
    require_terms(nsd, source, manifest.parent)
    keys = metadata_keys(nsd)
    each = shared_by(len(keys), nsd.connections)
    wanted = [Wanted(key, source, out / key, _nsd_fetcher(source, key, each)) for key in keys]
    fetch_all(wanted, work, nsd.connections, manifest)


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

    Another MD5 sum of COCO's archive than the one known is a warning.
    """
    require_terms(nsd, source, manifest.parent)
    places = (
        (nsd_paths.STIMULI, source, stimuli),
        (nsd_paths.COCO_ARCHIVE, coco_source, coco),
    )
    each = shared_by(len(places), nsd.connections)
    # The workflow compares the time stamps of these files: a link would have its source's.
    wanted = [
        Wanted(key, root, target, partial(fetch, root, key, link=False, connections=each))
        for key, root, target in places
    ]
    sizes = [_size(root, key) for key, root, _ in places]
    n_total = None if None in sizes else sum(size for size in sizes if size)
    fetch_all(wanted, work, nsd.connections, manifest, n_total)
    if is_remote(coco_source):
        _warn_of_other_coco(coco)


def _size(source: str, key: str) -> int | None:
    """Return the bytes of a file at its source; None where the server does not say now."""
    if not is_remote(source):
        return local_file(source, key).stat().st_size
    try:
        with open_remote(f"{source.rstrip('/')}/{key}") as stream:
            return stream.n_bytes
    except TransientError:
        return None


def fetch_all(
    wanted: Sequence[Wanted],
    work: Path,
    connections: int,
    manifest: Path,
    n_total: int | None = None,
) -> None:
    """Fetch every file into `work`, then move all to their places and write the manifest.

    The first failure, or an interruption, ends all transfers; a rerun continues them. The time left
    is shown where the bytes of all, `n_total`, are given.
    """
    progress = ByteProgress("download", n_total)
    stop = Event()
    calls = [partial(_fetch_once, one, work, progress, stop) for one in wanted]
    entries = run_all(calls, connections, stop)
    progress.close()
    for one in wanted:
        one.target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / one.key, one.target)
    write_text(manifest, json.dumps({"files": entries}, indent=1) + "\n")
    shutil.rmtree(work)


def _fetch_once(one: Wanted, work: Path, progress: ByteProgress, stop: Event) -> dict[str, Any]:
    """Return the manifest's entry of a file, fetched now or by an earlier run of this command."""
    path = work / one.key
    record = path.with_name(f".{path.name}.entry.json")
    if path.is_file() and record.is_file():
        entry: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if entry["source"] == one.source and entry["bytes"] == path.stat().st_size:
            progress.tell(entry["bytes"])
            return entry
    fetched = one.get(path, progress.tell, stop)
    n_bytes = path.stat().st_size
    entry = {
        "file": one.key,
        "bytes": n_bytes,
        "sha256": sha256_of(path) if n_bytes <= _HASHED_BYTES else None,
        "source": one.source,
    }
    if fetched is not None:
        entry |= {"url": fetched.url, "etag": fetched.etag, "fetched_at": fetched.fetched_at}
    write_text(record, json.dumps(entry))
    return entry


def _nsd_fetcher(source: str, key: str, connections: int) -> Fetch:
    if is_remote(source) and key.endswith(".nsdgeneralRSC.mgz"):
        return _fetch_rsc
    return partial(fetch, source, key, connections=connections)


def _fetch_rsc(target: Path, tell: Tell, stop: Event) -> Fetched:
    fetched = download_file(f"{_RSC_FOLDER}/{target.name}", target, tell=tell, stop=stop)
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


def _warn_of_other_coco(path: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != _COCO_MD5:
        found = digest.hexdigest()
        logger.warning("%s: MD5 %s, one source states %s", path, found, _COCO_MD5)
