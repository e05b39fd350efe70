"""Encoder accuracy of each voxel against what its noise ceiling allows (arXiv 2406.12179)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.evaluation.encoder import EncoderPredictions
from brainit.report.style import COLOURS, new_figure, save_figure


def draw_encoder_accuracy(
    predictions: Sequence[EncoderPredictions],
    noise_ceiling: Mapping[str, NDArray[np.floating]],
    path: Path,
    simulated: bool,
) -> None:
    """Draw a panel per subject; `noise_ceiling` in percent, by subject, in voxel order.

    The line is the root of the ceiling, the most that any model can reach in expectation.
    """
    figure, axes = new_figure(1, len(predictions), max(3.2 * len(predictions), 4.5), 3.4)
    line = np.linspace(0, 100, 200)
    for ax, found in zip(axes, predictions, strict=True):
        correlation = found.correlation
        ceiling = np.asarray(noise_ceiling[found.subject], dtype=np.float64)
        ax.plot(ceiling, correlation, ".", markersize=2, alpha=0.4, color=COLOURS[0])
        ax.plot(line, np.sqrt(line / 100), color="black", linewidth=1, label="sqrt(ceiling)")
        ax.axhline(0, color="grey", linewidth=0.6)
        median = float(np.median(correlation))
        ax.set(
            title=f"{found.subject}: median {median:.3f}, {len(correlation):,} voxels",
            xlabel="noise ceiling, % of variance",
            ylim=(-0.5, 1.02),
        )
        ax.legend(loc="lower right")
    axes[0].set_ylabel("correlation, held-out images")
    save_figure(figure, path, "Encoder accuracy by voxel", simulated)
