"""Where in the image each cluster is read: cross-attention maps (section 5, figures S5 and S6).

Averaged over blocks, heads and test images. If clusters are spatial they read the half of the image
opposite to the hemisphere of their voxels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.fmri import SubjectFmri
from brainit.evaluation.checks.verdict import Check, at_least
from brainit.models.brain_transformer import LoadedBit

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


def contralateral_correlation(found: ClusterAttention, share: NDArray[np.float64]) -> float:
    """Return the correlation over clusters of the side that is read and the share on the right.

    Negative where clusters of the right hemisphere are read for the left of the image; NaN where
    fewer than three clusters have voxels or nothing varies. `share` may be a permuted one.
    """
    is_known = np.isfinite(share)
    if is_known.sum() < 3 or not share[is_known].std() * found.side[is_known].std():
        return float("nan")
    return float(np.corrcoef(share[is_known], found.side[is_known])[0, 1])


def check_contralateral(
    attention: list[ClusterAttention], n_permutations: int, generator: np.random.Generator
) -> Check:
    """Check that clusters are read for the half of the image opposite to their voxels.

    The mean over subjects, its sign turned so that more is more contralateral; null: the 99.9th
    percentile with clusters shuffled, for all subjects alike, since they share clusters and BIT.
    """
    n_clusters = len(attention[0].right_share)
    values = [-contralateral_correlation(found, found.right_share) for found in attention]
    orders = [generator.permutation(n_clusters) for _ in range(n_permutations)]
    nulls = [
        np.mean([-contralateral_correlation(a, a.right_share[order]) for a in attention])
        for order in orders
    ]
    text = (
        "correlation over clusters of their voxels' share on the right with how far left in the "
        "image the semantic BIT reads them; null: 99.9th percentile with clusters shuffled"
    )
    value, null = float(np.mean(values)), float(np.percentile(nulls, 99.9))
    return at_least("attention_contralateral_r", value, null, 0.0, text, strict=True)
