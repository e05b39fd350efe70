"""Draw a subject's noise ceilings: recomputed against NSD's by voxel, and by session."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.report.style import COLOURS, new_figure, save_figure


def draw_noise_ceiling(
    tensors: Mapping[str, NDArray[np.float32]],
    summary: pd.DataFrame,
    sessions: pd.DataFrame,
    path: Path,
    simulated: bool,
) -> None:
    """Draw both panels from the outputs of `data.nsd.quality`; `summary` has one row."""
    subject = summary.iloc[0]
    figure, (by_voxel, by_session) = new_figure(1, 2, 8.4, 3.6)
    by_voxel.plot(
        tensors["published"], tensors["recomputed"], ".", markersize=2, alpha=0.4, color=COLOURS[0]
    )
    by_voxel.plot([0, 100], [0, 100], color="black", linewidth=1, zorder=0)
    by_voxel.set(
        title=f"{subject['n_voxels']:,} voxels, r = {subject['correlation']:.3f}",
        xlabel="ceiling from NSD's ncsnr, % of variance",
        ylabel="recomputed from the trials, %",
    )
    medians = sessions["median_recomputed_pct"]
    by_session.plot(sessions["session"], medians, "o-", color=COLOURS[0], label="one session")
    lines = [
        ("median_recomputed_pct", "all sessions, recomputed", COLOURS[0]),
        ("median_published_pct", "NSD's ncsnr", COLOURS[1]),
        ("nsdgeneral_paper_pct", "published for nsdgeneral", COLOURS[2]),
    ]
    for name, label, colour in lines:
        if np.isfinite(subject[name]):
            by_session.axhline(subject[name], color=colour, linewidth=1, label=label)
    by_session.set(title="Median over voxels", xlabel="session", ylabel="ceiling, %", ylim=(0, 100))
    by_session.locator_params(axis="x", integer=True)
    by_session.legend()
    save_figure(figure, path, f"Noise ceiling of {subject['subject']}", simulated)
