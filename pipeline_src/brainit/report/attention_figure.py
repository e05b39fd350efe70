"""Where in the image each cluster is read: cross-attention maps (section 5, figures S5 and S6)."""

from pathlib import Path

import numpy as np

from brainit.evaluation.checks.cluster_attention import ClusterAttention
from brainit.report.style import COLOURS, new_figure, save_figure

N_MAPS = 12


def draw_attention(found: ClusterAttention, subject: str, path: Path, simulated: bool) -> None:
    """Draw the maps of the most one-sided clusters and, for all, side against hemisphere."""
    known = np.flatnonzero(np.isfinite(found.right_share))
    by_share = known[np.argsort(found.right_share[known], kind="stable")]
    half = min(N_MAPS // 2, max(len(by_share) // 2, 1))
    shown = [*by_share[:half], *by_share[-half:]]
    figure, axes = new_figure(2, half + 2, 1.25 * half + 3.4, 3.2)
    grid = axes[0].get_gridspec()
    for ax in [*axes[half : half + 2], *axes[2 * half + 2 :]]:
        ax.remove()
    places = [*axes[:half], *axes[half + 2 : 2 * half + 2]]
    relative = found.maps / found.maps.mean(axis=0)
    low, high = (float(value) for value in np.percentile(relative, (1, 99)))
    for ax, cluster in zip(places, shown, strict=True):
        ax.imshow(relative[cluster], cmap="magma", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{cluster}: {100 * found.right_share[cluster]:.0f} % right", fontsize=7)
    if grid is not None:
        scatter = figure.add_subplot(grid[:, half:])
        share, side = found.right_share[known], found.side[known]
        scatter.plot(100 * share, side, "o", markersize=3, color=COLOURS[0])
        r = np.corrcoef(share, side)[0, 1] if share.std() > 0 and side.std() > 0 else float("nan")
        scatter.axhline(0, color="grey", linewidth=0.6)
        scatter.set(
            xlabel="voxels in the right hemisphere, %",
            ylabel="left   <   attention   >   right",
            title=f"all clusters, r = {r:.2f}",
        )
    title = f"Attention to clusters, {subject}, relative to the mean"
    save_figure(figure, path, title, simulated)
