"""Everything of NSD and COCO but the betas, which `prepare_betas` streams (paper 5.1)."""

import json
import logging
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of, write_text
from brainit.core.progress import progress
from brainit.core.settings import NsdSettings
from brainit.data import nsd_paths
from brainit.data.anatomy import anatomy_keys
from brainit.data.sources import download_file, fetch
from brainit.data.terms import is_remote, require_terms

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


def metadata_keys(nsd: NsdSettings) -> list[str]:
    """Return the keys of NSD's tree that the settings need, betas excepted."""
    subjects = sorted({*nsd.subjects, *nsd.evaluated, *nsd.transfer})
    keys = [nsd_paths.EXPDESIGN, nsd_paths.STIM_INFO]
    keys += [nsd_paths.responses(subject) for subject in subjects]
    return [*keys, *anatomy_keys(nsd, subjects), nsd_paths.STIMULI]


def download(
    source: str, coco_source: str, nsd: NsdSettings, out: Path, coco_out: Path, manifest: Path
) -> None:
    """Fetch NSD's tree to `out` and COCO's archive to `coco_out`, then write the manifest.

    The manifest names file, bytes, source and, up to 64 MiB, SHA-256. Raises `PipelineError` where
    NSD's terms are not accepted (before any request) and where a file cannot be had.
    """
    require_terms(nsd, source)
    entries = []
    for key in progress(metadata_keys(nsd), "download", unit="file"):
        target = out / key
        _fetch_nsd(source, key, target)
        entries.append(_entry(key, target, source))
    fetch(coco_source, nsd_paths.COCO_ARCHIVE, coco_out, link=False)
    entries.append(_entry(nsd_paths.COCO_ARCHIVE, coco_out, coco_source))
    write_text(manifest, json.dumps({"files": entries}, indent=1) + "\n")


def _fetch_nsd(source: str, key: str, target: Path) -> None:
    if not (is_remote(source) and key.endswith(".nsdgeneralRSC.mgz")):
        fetch(source, key, target)
        return
    download_file(f"{_RSC_FOLDER}/{target.name}", target)
    expected, found = _RSC_SHA256[target.name[:2]], sha256_of(target)
    if found != expected:
        target.unlink()
        raise PipelineError(
            target, f"SHA-256 {expected}", found, "rerun download, or set nsd.mask: nsdgeneral"
        )


def _entry(key: str, path: Path, source: str) -> dict[str, str | int | None]:
    n_bytes = path.stat().st_size
    digest = sha256_of(path) if n_bytes <= _HASHED_BYTES else None
    return {"file": key, "bytes": n_bytes, "sha256": digest, "source": source}
