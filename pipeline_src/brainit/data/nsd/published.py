"""Check NSD itself against its published counts and checksums.

`nsd_published.yaml` lists the numbers and their sources.
"""

import hashlib
import io
import json
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import yaml
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.core.settings.base import Section
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.masks import VoxelMask
from brainit.data.nsd.volume import VolumeMask
from brainit.workflow.sources import is_remote

BUCKET = "natural-scenes-dataset"
_FIX = (
    "delete the downloaded labels and betas and run again; for data other than NSD set"
    " nsd.published_checks: never"
)


class PublishedSubject(Section):
    """Published numbers of one subject; pairs are (left, right)."""

    sessions: int
    volume: tuple[int, int, int]
    volume_nsdgeneral: int
    algonauts_kept: tuple[int, int]
    all_vertices_sha256: tuple[str, str]
    median_ncsnr: dict[str, float]


class Published(Section):
    """All published numbers; pairs are (left, right)."""

    n_vertices: int
    masks: dict[str, tuple[int, int]]
    subjects: dict[str, PublishedSubject]


@cache
def published() -> Published:
    """Read the published numbers from `nsd_published.yaml`."""
    path = Path(__file__).with_name("nsd_published.yaml")
    return Published.model_validate_json(json.dumps(yaml.safe_load(path.read_text("utf-8"))))


def is_nsd(source: str, nsd: NsdSettings) -> bool:
    """Return True if `source` is NSD's bucket, unless `nsd.published_checks` decides."""
    if nsd.published_checks != "nsd":
        return nsd.published_checks == "always"
    parts = urlsplit(source)
    by_host = parts.netloc.split(".")[0] == BUCKET
    by_path = parts.netloc.endswith("amazonaws.com") and parts.path.split("/")[1:2] == [BUCKET]
    return is_remote(source) and (by_host or by_path)


def check_mask(subject: str, nsd: NsdSettings, mask: VoxelMask | VolumeMask) -> None:
    """Check a mask from NSD's files against its published size; masks from other files pass.

    Raises `PipelineError` where they differ.
    """
    if nsd.mask == "files":
        return
    if isinstance(mask, VolumeMask):
        known = published().subjects[subject]
        _require(subject, "volume", known.volume, mask.shape)
        _require(subject, "nsdgeneral voxels", known.volume_nsdgeneral, len(mask.vertex))
        return
    size = (published().n_vertices,) * 2
    _require(subject, "vertices of fsaverage (left, right)", size, mask.n_vertices)
    what = f"vertices of {nsd.mask} (left, right)"
    _require(subject, what, published().masks[nsd.mask], _counts(mask.hemisphere))


def check_sessions(subject: str, n_sessions: int) -> None:
    """Check the number of sessions against the published one; raises `PipelineError`."""
    _require(subject, "sessions", published().subjects[subject].sessions, n_sessions)


def check_kept(
    subject: str, nsd: NsdSettings, mask: VoxelMask | VolumeMask, is_kept: NDArray[np.bool_]
) -> None:
    """Check the Algonauts vertices without NaN against published counts and checksums.

    Other masks have no published counts and pass. Raises `PipelineError` where they differ.
    """
    if nsd.mask != "algonauts" or isinstance(mask, VolumeMask):
        return
    known = published().subjects[subject]
    kept = _counts(mask.hemisphere[is_kept])
    _require(subject, "Algonauts vertices (left, right)", known.algonauts_kept, kept)
    for hemisphere, side in enumerate(nsd_paths.HEMISPHERES):
        vertices = mask.vertex[is_kept & (mask.hemisphere == hemisphere)]
        found = indicator_sha256(mask.n_vertices[hemisphere], vertices)
        what = f"SHA-256 of {side}.all-vertices_fsaverage_space.npy"
        _require(subject, what, known.all_vertices_sha256[hemisphere], found)


def indicator_sha256(n_vertices: int, vertices: NDArray[np.int64]) -> str:
    """Return the SHA-256 of the .npy of int64 that is 1 at `vertices` and 0 elsewhere."""
    indicator = np.zeros(n_vertices, dtype="<i8")
    indicator[vertices] = 1
    content = io.BytesIO()
    np.save(content, indicator, allow_pickle=False)
    return hashlib.sha256(content.getvalue()).hexdigest()


def _counts(hemisphere: NDArray[np.int64]) -> tuple[int, int]:
    return int((hemisphere == 0).sum()), int((hemisphere == 1).sum())


def _require(subject: str, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise PipelineError(
            subject,
            f"the published {what}: {expected}",
            f"{found}",
            _FIX,
            code="inconsistent-inputs",
        )
