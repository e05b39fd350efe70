"""Cross-attention maps: where in the image each cluster is read (section 5, figures S5 and S6).

Averaged over blocks, heads and all test images. Spatial clusters should be read in the half of the
image opposite to the hemisphere of their voxels: what a query on the left reads should lie in the
right hemisphere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.fmri import SubjectFmri
from brainit.evaluation.checks.verdict import Check, Interval, above
from brainit.models.brain_transformer import BitDecoder


@dataclass(frozen=True)
class ClusterAttention:
    """The attention of each query to each cluster, and where the clusters' voxels lie.

    `weights` (queries, clusters) sum to 1 over clusters; queries form a square, row by row.
    `right_share` is the share of each cluster's voxels in the right hemisphere, NaN without voxels.
    """

    weights: NDArray[np.float64]
    right_share: NDArray[np.float64]

    @property
    def maps(self) -> NDArray[np.float64]:
        """Attention over the image to each cluster, (clusters, side, side); each sums to 1."""
        side = round(len(self.weights) ** 0.5)
        return (self.weights / self.weights.sum(axis=0)).T.reshape(-1, side, side)

    @property
    def query_x(self) -> NDArray[np.float64]:
        """Horizontal position of each query: -1 is the left edge, 1 the right edge."""
        side = round(len(self.weights) ** 0.5)
        return np.tile(np.linspace(-1, 1, side), side)

    @property
    def side(self) -> NDArray[np.float64]:
        """Mean horizontal position of each map minus that of the mean map.

        -1 is the left edge, 1 the right edge.
        """
        position = (self.maps.reshape(len(self.maps), -1) * self.query_x).sum(axis=1)
        return np.asarray(position - position.mean())


@torch.inference_mode()
def cluster_attention(
    bit: BitDecoder, fmri: SubjectFmri, hemisphere: NDArray[np.int64]
) -> ClusterAttention:
    """Return the attention of a semantic BIT's queries for the test images of a subject.

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
    betas = torch.from_numpy(fmri.betas.astype(np.float32))
    total = torch.zeros(bit.model.n_queries, bit.model.n_clusters, dtype=torch.float64)
    for example in betas.split(1):  # type: ignore[no-untyped-call]
        weights = bit.model.cross_attention(bit.model.tokenize(example, voxels))
        total += weights.double().mean(dim=(0, 1, 2))
    mean = (total / len(betas)).numpy()
    cluster = bit.model.voxel_cluster[voxels].cpu().numpy()
    counts = np.bincount(cluster, minlength=bit.model.n_clusters).astype(np.float64)
    right = np.bincount(cluster, weights=hemisphere, minlength=bit.model.n_clusters)
    share = np.full(len(counts), np.nan)
    np.divide(right, counts, out=share, where=counts > 0)
    return ClusterAttention(mean, share)


def reads_right(
    attention: ClusterAttention, counts: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the share of the right hemisphere in what each query reads.

    It is the mean of `right_share` over clusters, weighted by the query's attention: clusters that
    no query reads carry no noise into it. `counts` says how often each cluster counts (None: once);
    clusters without voxels count never. NaN without any cluster.
    """
    is_known = np.isfinite(attention.right_share)
    weights = attention.weights[:, is_known]
    if counts is not None:
        weights = weights * counts[is_known]
    total = weights.sum(axis=1)
    if not weights.shape[1] or not (total > 0).all():
        return np.full(len(weights), np.nan)
    return np.asarray(weights @ attention.right_share[is_known] / total)


def contralateral_correlation(attention: ClusterAttention) -> float:
    """Correlate over queries how far left each lies with how far right it reads.

    Positive if clusters of the right hemisphere are read on the left of the image; NaN without
    variance.
    """
    right = reads_right(attention)
    if not right.std() > 1.0e-12:
        return float("nan")
    return float(-np.corrcoef(attention.query_x, right)[0, 1])


def contralateral_difference(
    attention: ClusterAttention, counts: NDArray[np.int64] | None = None
) -> float:
    """Return what queries at the left edge read of the right hemisphere, minus those at the right.

    By least squares over all queries, in percent of what they read. Nearly linear in the clusters,
    so that resamples of these scatter around it (a correlation lies at the end of its range).
    """
    x = attention.query_x
    return float(-200.0 * (x @ reads_right(attention, counts)) / (x @ x))


def check_contralateral(
    attention: list[ClusterAttention], n_resamples: int, generator: np.random.Generator
) -> Check:
    """Check that clusters are read in the half of the image opposite to their voxels.

    The value is the mean over subjects of `contralateral_difference`. The interval resamples
    clusters, alike for all subjects, which share them: where few clusters lie to one side, it is
    wide and the check undecided.
    """
    n_clusters = len(attention[0].right_share)
    value = float(np.mean([contralateral_difference(a) for a in attention]))
    draws = (generator.integers(n_clusters, size=n_clusters) for _ in range(n_resamples))
    counts = (np.bincount(draw, minlength=n_clusters) for draw in draws)
    resampled = np.array(
        [np.mean([contralateral_difference(a, c) for a in attention]) for c in counts]
    )
    text = (
        "percentage points by which the right hemisphere's share in what a query of the semantic"
        " BIT reads is larger at the left edge of the image than at the right one, over all test"
        f" images, mean over subjects; interval: {n_resamples:,} resamples of clusters"
    )
    return above("attention_contralateral", Interval.of(value, resampled), 0.0, text)
