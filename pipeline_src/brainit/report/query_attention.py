"""Which clusters the queries of a semantic BIT read, image by image (section 5, figures S5, S6)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.data.fmri import SubjectFmri
from brainit.evaluation.checks.cluster_attention import ClusterAttention
from brainit.models.brain_transformer import LoadedBit
from brainit.report.cortex import Scale, draw_scalar_maps
from brainit.report.style import new_figure, save_figure

N_IMAGES = 100


@dataclass(frozen=True)
class QueryAttention:
    """`weights` (images, queries, clusters) sum to one over clusters; `nsd_id` of the images.

    `cluster` is that of each voxel of the subject.
    """

    weights: NDArray[np.float64]
    nsd_id: NDArray[np.int64]
    cluster: NDArray[np.int64]


@torch.inference_mode()
def query_attention(bit: LoadedBit, fmri: SubjectFmri) -> QueryAttention:
    """Return the attention of all queries, mean over blocks and heads, for the first images.

    The BIT must know the subject of `fmri`.
    """
    voxels = bit.subjects[fmri.subject]
    betas = torch.from_numpy(fmri.betas[:N_IMAGES].astype(np.float32))
    weights = [
        bit.model.cross_attention(bit.model.tokenize(example, voxels)).double().mean(dim=(0, 1, 2))
        for example in betas.split(1)  # type: ignore[no-untyped-call]
    ]
    cluster = bit.model.voxel_cluster[voxels].cpu().numpy()
    return QueryAttention(torch.stack(weights).numpy(), fmri.nsd_id[: len(weights)], cluster)


def draw_query_attention(
    found: QueryAttention,
    right_share: NDArray[np.float64],
    subject: str,
    path: Path,
    simulated: bool,
) -> None:
    """Draw queries against clusters, sorted by `right_share`, their voxels' share on the right."""
    order = np.argsort(np.nan_to_num(right_share, nan=0.5), kind="stable")
    mean = 100 * found.weights.mean(axis=0)[:, order]
    figure, (ax,) = new_figure(1, 1, 9.0, 4.2)
    picture = ax.imshow(mean, aspect="auto", cmap="magma", vmin=0, vmax=np.percentile(mean, 99.5))
    n_queries, n_clusters = mean.shape
    step = max(n_clusters // 16, 1)
    ax.set_xticks(range(0, n_clusters, step), [str(cluster) for cluster in order[::step]])
    side = round(n_queries**0.5)
    rows = range(0, n_queries, side)
    ax.set_yticks(rows, [str(row // side + 1) for row in rows])
    ax.set(
        xlabel="cluster, from the left hemisphere to the right",
        ylabel="query token, by row of the image",
    )
    figure.colorbar(picture, ax=ax, label="% of a query's attention")
    save_figure(figure, path, f"Attention of queries to clusters, {subject}", simulated)


def draw_attention_cortex(
    maps: ClusterAttention,
    cluster: NDArray[np.int64],
    subject: str,
    voxels: Artifact,
    path: Path,
    simulated: bool,
) -> None:
    """Draw on the subject's cortex at which side of the image each voxel's `cluster` is read."""
    side = maps.side
    limit = max(float(np.percentile(np.abs(side), 90)), 1e-6)
    scale = Scale(-limit, limit, "RdBu_r", "left   <   read at   >   right")
    title = "Side of the image where clusters are read"
    draw_scalar_maps({subject: voxels}, {subject: side[cluster]}, scale, path, title, simulated)
