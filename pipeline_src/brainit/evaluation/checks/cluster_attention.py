"""Cross-attention maps: where in the image each cluster is read (section 5, figures S5 and S6).

Averaged over blocks, heads and test images. Spatial clusters should be read in the half of the
image opposite to the hemisphere of their voxels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.fmri import SubjectFmri
from brainit.evaluation.checks.verdict import Check, at_least
from brainit.models.brain_transformer import BitDecoder

N_IMAGES = 32


@dataclass(frozen=True)
class ClusterAttention:
    """Attention maps of all clusters, and where their voxels lie.

    Each map in `maps` (clusters, side, side) sums to 1. `right_share` is the share of each
    cluster's voxels in the right hemisphere, NaN without voxels.
    """

    maps: NDArray[np.float64]
    right_share: NDArray[np.float64]

    @property
    def side(self) -> NDArray[np.float64]:
        """Mean horizontal position of each map minus that of the mean map.

        -1 is the left edge, 1 the right edge.
        """
        across = np.linspace(-1, 1, self.maps.shape[2])
        position = (self.maps.sum(axis=1) * across).sum(axis=1)
        overall = self.maps.mean(axis=0)
        return np.asarray(position - (overall.sum(axis=0) * across).sum())


@torch.inference_mode()
def cluster_attention(
    bit: BitDecoder, fmri: SubjectFmri, hemisphere: NDArray[np.int64]
) -> ClusterAttention:
    """Return the attention maps of a semantic BIT for the first test images of a subject.

    `hemisphere` of the subject's voxels: 0 left, 1 right. Raises `PipelineError` if the queries do
    not form a square or if the BIT does not know the subject.
    """
    side, n_queries = round(bit.model.n_queries**0.5), bit.model.n_queries
    if side * side != n_queries:
        expected, found = "a semantic BIT, whose queries form a square", f"{n_queries} queries"
        fix = "give --bit the semantic BIT of train_joint: joint/bit.safetensors"
        raise PipelineError("--bit", expected, found, fix, code="wrong-kind")
    if fmri.subject not in bit.subjects:
        found = f"a BIT of the subjects {', '.join(bit.subjects)}"
        fix = f"give --bit a BIT of a pool that holds {fmri.subject}"
        raise PipelineError("--bit", fmri.subject, found, fix, code="inconsistent-inputs")
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


def side_correlation(attention: ClusterAttention, right_share: NDArray[np.float64]) -> float:
    """Correlate over clusters the side of the image that is read with `right_share`.

    Negative if clusters of the right hemisphere are read on the left of the image; NaN if fewer
    than three clusters have voxels or nothing varies. `right_share` may be permuted.
    """
    is_known = np.isfinite(right_share)
    if is_known.sum() < 3 or not right_share[is_known].std() * attention.side[is_known].std():
        return float("nan")
    return float(np.corrcoef(right_share[is_known], attention.side[is_known])[0, 1])


def check_contralateral(
    attention: list[ClusterAttention], n_permutations: int, generator: np.random.Generator
) -> Check:
    """Check that clusters are read in the half of the image opposite to their voxels.

    The value is the mean over subjects of -`side_correlation`: higher is more contralateral. Null:
    the 99.9th percentile with clusters shuffled, alike for all subjects, which share the clusters.
    """
    n_clusters = len(attention[0].right_share)
    values = [-side_correlation(of_subject, of_subject.right_share) for of_subject in attention]
    orders = [generator.permutation(n_clusters) for _ in range(n_permutations)]
    nulls = [
        np.mean([-side_correlation(a, a.right_share[order]) for a in attention]) for order in orders
    ]
    text = (
        "correlation over clusters of the share of voxels in the right hemisphere with how far "
        "left in the image the semantic BIT reads the cluster; null: 99.9th percentile with "
        "clusters shuffled"
    )
    value, null = float(np.mean(values)), float(np.percentile(nulls, 99.9))
    return at_least("attention_contralateral_r", value, null, 0.0, text, strict=True)
