"""Prepare a subject's betas: masked, z-scored per session, single trials in float16 (paper 5.1).

Voxels with a NaN or infinite value, or a z-score beyond float16, in any session are dropped and
counted, as for the Algonauts mask. Repeats are kept; loaders average them (`data.fmri`).

Differs from the paper: its code sets NaN to 0; here such voxels are dropped.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, write_text
from brainit.core.settings import NsdSettings
from brainit.data.noise_ceiling import N_REPEATS, ceiling_percent
from brainit.data.nsd import published
from brainit.data.nsd.anatomy import positions, published_ncsnr, subject_mask
from brainit.data.nsd.beta_source import BetaSource
from brainit.data.nsd.sessions import SessionBetas, prepare_sessions
from brainit.data.nsd.terms import require_terms
from brainit.data.trials import read_trials
from brainit.data.voxels import write_voxels

logger = logging.getLogger(__name__)


def prepare_betas(
    subject: str,
    nsd_root: Path,
    source: str,
    trials_path: Path,
    work: Path,
    nsd: NsdSettings,
    mask_files: Sequence[Path] = (),
) -> "PreparedBetas":
    """Mask and z-score every session of `subject`, read from `source` one at a time.

    `work` keeps finished sessions: after an interruption the same call continues. Raises
    `PipelineError` where NSD's terms are not accepted (before any request), where mask, trials,
    surface or volume, noise ceiling and betas disagree, and where real NSD differs from its
    published counts.
    """
    require_terms(nsd, source, work)
    mask = subject_mask(nsd_root, subject, nsd, mask_files)
    trials = read_trials(trials_path)
    is_nsd = published.is_nsd(source, nsd)
    if is_nsd:
        published.check_mask(subject, nsd, mask)
        published.check_sessions(subject, trials["session"].nunique())
    ncsnr = published_ncsnr(nsd_root, subject, nsd.betas_version, mask)
    position_mm = positions(nsd_root, mask)
    beta_source = BetaSource(subject, source, mask, nsd, work / subject)
    sessions = prepare_sessions(beta_source, trials)
    is_dropped = np.any([session.is_invalid for session in sessions], axis=0)
    if is_dropped.all():
        raise PipelineError(
            subject,
            "voxels that are finite in every session",
            "none",
            f"delete {work / subject} and, if local, download the betas in paths.source again",
            code="bad-values",
        )
    if is_nsd:
        published.check_kept(subject, nsd, mask, ~is_dropped)
    n_beyond = sum(session.checks.get("n_beyond_float16", 0) for session in sessions)
    logger.info(
        "%s: %d voxels dropped for NaN, infinity or z-scores beyond float16 (%d in all sessions)",
        *(subject, is_dropped.sum(), n_beyond),
    )
    return PreparedBetas(beta_source, trials, sessions, ~is_dropped, ncsnr, position_mm)


class PreparedBetas:
    """The prepared sessions of one subject, with its voxels."""

    def __init__(
        self,
        source: BetaSource,
        trials: pd.DataFrame,
        sessions: list[SessionBetas],
        is_kept: NDArray[np.bool_],
        ncsnr: NDArray[np.float32],
        position_mm: NDArray[np.float32],
    ) -> None:
        self.source = source
        self.n_trials = len(trials)
        self.sessions = sessions
        self.is_kept = is_kept
        self.ncsnr = ncsnr[is_kept]
        self.position_mm = position_mm[is_kept]

    def write(self, betas: Path, voxels: Path, summary: Path) -> None:
        """Write betas (.npy), voxel table and summary, each whole or not at all."""
        self._write_voxels(voxels)
        self._write_summary(summary)
        self._write_betas(betas)
        for session in self.sessions:
            session.path.unlink()
            session.path.with_suffix(".json").unlink()

    def _write_betas(self, path: Path) -> None:
        """Write the .npy with one session in memory at a time."""
        shape = (self.n_trials, int(self.is_kept.sum()))
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        with atomic_path(path) as partial, partial.open("wb") as handle:
            np.lib.format.write_array_header_1_0(handle, header)
            for session in self.sessions:
                scores = np.load(session.path, allow_pickle=False)
                handle.write(np.ascontiguousarray(scores[:, self.is_kept], dtype="<f2").tobytes())

    def _write_voxels(self, path: Path) -> None:
        mask = self.source.mask
        has_ncsnr = np.isfinite(self.ncsnr)
        if not has_ncsnr.all():
            n_missing = (~has_ncsnr).sum()
            logger.warning("%d kept voxels have no ncsnr; their ceiling is set to 0", n_missing)
        ceiling = ceiling_percent(np.where(has_ncsnr, self.ncsnr, 0), {N_REPEATS: 1})
        write_voxels(
            path,
            self.source.subject,
            {
                "vertex": mask.vertex[self.is_kept],
                "hemisphere": mask.hemisphere[self.is_kept],
                "position_mm": self.position_mm,
                "noise_ceiling": ceiling,
            },
            space=mask.space,
            mask=mask.name,
            n_dropped_nan=int((~self.is_kept).sum()),
        )

    def _write_summary(self, path: Path) -> None:
        content = {
            "subject": self.source.subject,
            "n_trials": self.n_trials,
            "n_voxels": int(self.is_kept.sum()),
            "n_dropped_nan": int((~self.is_kept).sum()),
            "n_without_ncsnr": int((~np.isfinite(self.ncsnr)).sum()),
            "zscore": self.source.nsd.zscore,
            "sessions": [session.checks for session in self.sessions],
        }
        write_text(path, json.dumps(content, indent=1) + "\n")
