"""Where in the image each cluster is read: cross-attention maps (section 5, figures S5 and S6).

Averaged over blocks, heads and test images. If clusters are spatial they read the half of the image
opposite to the hemisphere of their voxels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.fmri import SubjectFmri
from brainit.models.brain_transformer_file import LoadedBit
from brainit.report.style import COLOURS, new_figure, save_figure

N_MAPS = 12
N_IMAGES = 32


@dataclass(frozen=True)
class ClusterAttention:
    """`maps` (clusters, side, side) sum to one; `right_share` of voxels in the right hemisphere."""

    maps: NDArray[np.float64]
    right_share: NDArray[np.float64]

    @property
    def side(self) -> NDArray[np.float64]:
        """Mean horizontal place of each map relative to all maps: -1 left edge, 1 right edge."""
        across = np.linspace(-1, 1, self.maps.shape[2])
        place = (self.maps.sum(axis=1) * across).sum(axis=1)
        overall = self.maps.mean(axis=0)
        return np.asarray(place - (overall.sum(axis=0) * across).sum())


@torch.inference_mode()
def cluster_attention(
    bit: LoadedBit, fmri: SubjectFmri, hemisphere: NDArray[np.int64]
) -> ClusterAttention:
    """Return the attention maps of a semantic BIT for the first test images of a subject.

    `hemisphere` of the subject's voxels: 0 left, 1 right. Clusters without voxels of the subject
    have share NaN. Raises `PipelineError` where the queries are no square grid.
    """
    side = round(bit.model.n_queries**0.5)
    if side * side != bit.model.n_queries or fmri.subject not in bit.subjects:
        found = f"{bit.model.n_queries} queries, subjects {list(bit.subjects)}"
        fix = "give the semantic BIT of the pool"
        raise PipelineError("--bit", f"a square of queries, and {fmri.subject}", found, fix)
    voxels = bit.subjects[fmri.subject]
    betas = torch.from_numpy(fmri.betas[:N_IMAGES].astype(np.float32))
    total = torch.zeros(bit.model.n_queries, bit.model.n_clusters, dtype=torch.float64)
    for example in betas.split(1):  # type: ignore[no-untyped-call]
        weights = bit.model.cross_attention(bit.model.tokenize(example, voxels))
        total += weights.double().mean(dim=(0, 1, 2))
    maps = (total / total.sum(dim=0)).T.reshape(-1, side, side).numpy()
    cluster = bit.model.voxel_cluster[voxels].cpu().numpy()
    counts = np.bincount(cluster, minlength=bit.model.n_clusters).astype(np.float64)
    right = np.bincount(cluster, weights=hemisphere, minlength=bit.model.n_clusters)
    share = np.full(len(counts), np.nan)
    np.divide(right, counts, out=share, where=counts > 0)
    return ClusterAttention(maps, share)


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
