"""Check the quality of a subject's betas by noise ceilings of the subject and each session.

Three ceilings of a region should agree: recomputed from the trials, from NSD's ncsnr, and the
published median of nsdgeneral (only for NSD itself).
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.core.settings import NsdSettings
from brainit.data.fmri import open_betas
from brainit.data.noise_ceiling import (
    N_REPEATS,
    ceiling_percent,
    ncsnr_of_noise,
    session_noise,
)
from brainit.data.nsd import published
from brainit.data.nsd.masks import read_mask
from brainit.data.trials import read_trials
from brainit.data.voxels import read_voxels

logger = logging.getLogger(__name__)

_RECORD_ERRORS = (ValueError, LookupError, TypeError, RecursionError)
_CHECKED = ("n_nan_voxels", "n_zero_variance", "max_abs_mean")
"""Columns that `prepare_betas` records per session."""


@dataclass(frozen=True)
class NoiseCeilings:
    """Tensors of contract `noise_ceiling` (percent), a row of the subject, a row per session."""

    tensors: dict[str, NDArray[np.float32]]
    summary: pd.DataFrame
    sessions: pd.DataFrame


@dataclass(frozen=True)
class PreparedFiles:
    """Outputs of `prepare_design` and `prepare_betas` for a subject."""

    betas: Path
    voxels: Path
    summary: Path
    trials: Path


def estimate_noise_ceiling(
    subject: str, files: PreparedFiles, nsd: NsdSettings, nsd_root: Path | None, source: str
) -> NoiseCeilings:
    """Recompute the ceilings, compare them, and warn where they differ beyond the tolerances.

    `nsd_root` is the folder of NSD's labels, None for a subject that is not NSD's. Raises
    `PipelineError` where betas, voxels, summary and trials disagree.
    """
    trials = read_trials(files.trials)
    betas = open_betas(files.betas, len(trials))
    voxels = read_voxels(files.voxels)
    if betas.shape[1] != len(voxels["noise_ceiling"]):
        raise PipelineError(
            files.voxels,
            f"{betas.shape[1]} voxels, as {files.betas}",
            f"{len(voxels['noise_ceiling'])}",
            "delete both and rerun prepare_betas",
            code="inconsistent-inputs",
        )
    nsd_id = trials["nsd_id"].to_numpy(dtype=np.int64)
    session = trials["session"].to_numpy(dtype=np.int64)
    n_trials, noise = session_noise(betas, nsd_id, session)
    total = np.average(noise[n_trials > 0], axis=0, weights=n_trials[n_trials > 0])
    recomputed = ceiling_percent(ncsnr_of_noise(total), {N_REPEATS: 1})
    tensors = {"published": voxels["noise_ceiling"], "recomputed": recomputed}
    in_general = None if nsd_root is None else in_nsdgeneral(voxels, nsd, nsd_root)
    is_nsd = in_general is not None and published.is_nsd(source, nsd)
    paper = _paper_median(subject, nsd) if is_nsd else np.nan
    summary = {
        "subject": subject,
        **_medians(tensors, in_general, paper),
        "n_voxels": betas.shape[1],
        "n_images_3_repeats": int((trials.groupby("nsd_id").size() == N_REPEATS).sum()),
    }
    summary |= _largest_difference(subject, summary, nsd.ceiling_tolerance_pct)
    sessions = _session_table(subject, files.summary, np.unique(session), n_trials, noise)
    _compare_sessions(subject, sessions, float(np.median(recomputed)), nsd)
    return NoiseCeilings(tensors, pd.DataFrame([summary]), sessions)


def in_nsdgeneral(voxels: Artifact, nsd: NsdSettings, nsd_root: Path) -> NDArray[np.bool_] | None:
    """Mark the voxels in nsdgeneral; None for a mask from the user's files."""
    if nsd.mask == "files":
        return None
    if nsd.mask == "nsdgeneral":
        return np.ones(len(voxels["vertex"]), dtype=bool)
    general = read_mask(nsd_root, "nsdgeneral")
    sides = [
        np.isin(voxels["vertex"], general.vertices_of(hemisphere))
        & (voxels["hemisphere"] == hemisphere)
        for hemisphere in (0, 1)
    ]
    return np.logical_or(*sides)


def _paper_median(subject: str, nsd: NsdSettings) -> float:
    """Return the published median ceiling in nsdgeneral; NaN for betas without one."""
    if nsd.betas_version != NsdSettings().betas_version:
        return np.nan
    ncsnr = published.published().subjects[subject].median_ncsnr[nsd.space]
    return float(ceiling_percent(np.array([ncsnr]), {N_REPEATS: 1})[0])


def _medians(
    tensors: dict[str, NDArray[np.float32]], in_general: NDArray[np.bool_] | None, paper: float
) -> dict[str, float]:
    ours, theirs = tensors["recomputed"], tensors["published"]
    varies = theirs.std() > 0 and ours.std() > 0
    general = np.zeros(len(ours), dtype=bool) if in_general is None else in_general
    return {
        "median_published_pct": _median(theirs),
        "median_recomputed_pct": _median(ours),
        "correlation": float(np.corrcoef(theirs, ours)[0, 1]) if varies else np.nan,
        "nsdgeneral_published_pct": _median(theirs[general]),
        "nsdgeneral_recomputed_pct": _median(ours[general]),
        "nsdgeneral_paper_pct": paper,
    }


def _median(values: NDArray[np.float32]) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _largest_difference(
    subject: str, medians: dict[str, Any], tolerance_pct: float
) -> dict[str, Any]:
    """Return the largest difference of two medians of a region; warn beyond the tolerance."""
    pairs = [
        ("median_recomputed_pct", "median_published_pct"),
        ("nsdgeneral_recomputed_pct", "nsdgeneral_paper_pct"),
        ("nsdgeneral_published_pct", "nsdgeneral_paper_pct"),
    ]
    differences = [abs(medians[first] - medians[second]) for first, second in pairs]
    for (first, second), difference in zip(pairs, differences, strict=True):
        if difference > tolerance_pct:
            logger.warning(
                "%s: %s %.1f and %s %.1f differ by more than nsd.ceiling_tolerance_pct (%.1f)",
                *(subject, first, medians[first], second, medians[second], tolerance_pct),
            )
    largest = float(np.nanmax(differences))
    return {
        "largest_difference_pct": largest,
        "within_tolerance": largest <= tolerance_pct,
    }


def _session_table(
    subject: str,
    path: Path,
    numbers: NDArray[np.int64],
    n_trials: NDArray[np.int64],
    noise: NDArray[np.float64],
) -> pd.DataFrame:
    """Return a row per session: the checks of `prepare_betas`, noise variance and ceiling."""
    fix = "delete it and rerun prepare_betas"
    with reading(path, f"sessions with {_CHECKED}", fix, *_RECORD_ERRORS):
        checks = json.loads(path.read_text(encoding="utf-8"))["sessions"]
        rows = [{name: row[name] for name in ("session", *_CHECKED)} for row in checks]
    if [row["session"] for row in rows] != numbers.tolist():
        raise PipelineError(
            path,
            f"the sessions {numbers.tolist()} of the trial table",
            f"{[row['session'] for row in rows]}",
            fix,
            code="inconsistent-inputs",
        )
    table = pd.DataFrame(rows)
    table.insert(0, "subject", subject)
    table["n_trials_of_3"] = n_trials
    table["median_noise_variance"] = np.median(noise, axis=1)
    ceilings = ceiling_percent(ncsnr_of_noise(noise), {N_REPEATS: 1})
    table["median_recomputed_pct"] = [
        float(np.median(row)) if count else np.nan
        for row, count in zip(ceilings, n_trials, strict=True)
    ]
    return table


def _compare_sessions(
    subject: str, sessions: pd.DataFrame, median_pct: float, nsd: NsdSettings
) -> None:
    """Mark sessions whose ceiling is far from the subject's, and warn of them."""
    difference = sessions["median_recomputed_pct"] - median_pct
    sessions["difference_pct"] = difference
    sessions["within_tolerance"] = ~(difference.abs() > nsd.session_tolerance_pct)
    for row in sessions[~sessions["within_tolerance"]].itertuples():
        logger.warning(
            "%s session %d: ceiling %.1f %%, subject %.1f %%, beyond nsd.session_tolerance_pct",
            *(subject, row.session, row.median_recomputed_pct, median_pct),
        )
