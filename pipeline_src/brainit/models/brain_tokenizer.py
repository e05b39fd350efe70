"""The Brain Tokenizer: one token per functional cluster (Brain-IT section 4; Shi et al. 2021).

A single-head graph attention with edges from each voxel to its cluster: queries are the shared
cluster embeddings, keys and values the voxel embeddings scaled by the voxels' responses. As in the
released code a root term, ReLU and LayerNorm follow; a cluster without kept voxels has the root
term alone. The key has no bias, which would add the same to every score of a cluster.

Because a voxel enters as `response * embedding`, the work factors: one number per voxel and step
(`affinity`), scores that are scalars, raw embeddings summed per cluster, values projected after.
Several subjects are one layout: a cluster of each subject is a cluster of its own, and the examples
of all subjects lie side by side, as many rows as the subject with most examples has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class VoxelGroups:
    """The voxels of some subjects in rows of one length, each row of one cluster.

    `slot_voxel` (rows, slots) is the voxel of each slot, any where `is_filled` is false;
    `voxel_slot` (voxels,) is the flat slot of each voxel; `row_cluster` (rows,) the rows' clusters.
    """

    slot_voxel: Int[Tensor, "rows slots"]
    is_filled: Bool[Tensor, "rows slots"]
    voxel_slot: Int[Tensor, "voxels"]
    row_cluster: Int[Tensor, "rows"]
    n_clusters: int


def group_voxels(voxel_cluster: Int[Tensor, "voxels"], n_clusters: int) -> VoxelGroups:
    """Lay voxels out in rows by cluster.

    Rows are as long as the mean cluster that is not empty; larger clusters take several, so that
    one large cluster does not pad all others. Clusters are 0-based and below `n_clusters`.
    """
    sizes = torch.bincount(voxel_cluster, minlength=n_clusters)
    n_present = max(int((sizes > 0).sum()), 1)
    length = max(math.ceil(len(voxel_cluster) / n_present), 1)
    n_rows = (sizes + length - 1) // length
    first_row = torch.cumsum(n_rows, 0) - n_rows
    first_voxel = torch.cumsum(sizes, 0) - sizes
    order = torch.argsort(voxel_cluster, stable=True)
    cluster = voxel_cluster[order]
    rank_in_cluster = torch.arange(len(order), device=order.device) - first_voxel[cluster]
    slot = first_row[cluster] * length + rank_in_cluster
    shape = (int(n_rows.sum()), length)
    slot_voxel = torch.zeros(shape, dtype=torch.int64, device=order.device)
    slot_voxel.view(-1)[slot] = order
    is_filled = torch.zeros(shape, dtype=torch.bool, device=order.device)
    is_filled.view(-1)[slot] = True
    voxel_slot = torch.empty_like(order)
    voxel_slot[order] = slot
    clusters = torch.arange(n_clusters, device=order.device)
    row_cluster = torch.repeat_interleave(clusters, n_rows)
    return VoxelGroups(slot_voxel, is_filled, voxel_slot, row_cluster, n_clusters)


def _sum_rows(rows: Tensor, groups: VoxelGroups) -> Tensor:
    """Add the rows (batch, rows, ...) of each cluster: (batch, clusters, ...)."""
    total = rows.new_zeros(rows.shape[0], groups.n_clusters, *rows.shape[2:])
    return total.index_add_(1, groups.row_cluster, rows)


class _ClusterAttention(torch.autograd.Function):
    """Sum of embeddings per cluster, weighted by response times attention; backward in closed form.

    Also returns which clusters have a kept voxel (batch, clusters).

    With affinity k_v = e_v.r_c, scores s = a k, p = softmax of s within the cluster and w = p a,
    the output is sum_v w_v e_v. Tensors over slots are (batch, rows, slots).
    """

    @staticmethod
    def forward(
        ctx: Any,
        embedding: Tensor,
        affinity_query: Tensor,
        betas: Tensor,
        keep: Tensor | None,
        groups: VoxelGroups,
    ) -> tuple[Tensor, Tensor]:
        (n_rows, n_slots), voxel = groups.slot_voxel.shape, groups.slot_voxel.flatten()
        slot_embedding = embedding.index_select(0, voxel).view(n_rows, n_slots, -1)
        row_query = affinity_query.index_select(0, groups.row_cluster)  # rows width
        affinity = torch.bmm(slot_embedding, row_query[:, :, None])[..., 0]
        slot_betas = betas.index_select(1, voxel).view(-1, n_rows, n_slots)
        scores = slot_betas * affinity
        is_kept = groups.is_filled
        if keep is not None:
            is_kept = keep.index_select(1, voxel).view(-1, n_rows, n_slots) & is_kept
        scores.masked_fill_(~is_kept, -math.inf)
        attention, is_present = _softmax_in_cluster(scores, groups)
        weight = attention * slot_betas
        partial = torch.bmm(weight.transpose(0, 1), slot_embedding)  # rows batch width
        ctx.groups = groups
        ctx.save_for_backward(slot_embedding, row_query, affinity, slot_betas, attention)
        ctx.mark_non_differentiable(is_present)
        return _sum_rows(partial.transpose(0, 1), groups), is_present

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        groups: VoxelGroups = ctx.groups
        slot_embedding, row_query, affinity, slot_betas, attention = ctx.saved_tensors
        row_grad = grad.transpose(0, 1).index_select(0, groups.row_cluster)  # rows batch width
        grad_weight = torch.bmm(row_grad, slot_embedding.transpose(1, 2)).transpose(0, 1)
        grad_attention = grad_weight * slot_betas
        mean = _sum_rows((attention * grad_attention).sum(2), groups)  # batch clusters
        grad_scores = attention * (grad_attention - mean[:, groups.row_cluster, None])
        grad_affinity = (grad_scores * slot_betas).sum(0)  # rows slots
        grad_embedding = grad_query = grad_betas = None
        if ctx.needs_input_grad[0]:
            left = torch.cat([attention * slot_betas, grad_affinity[None]]).permute(1, 2, 0)
            right = torch.cat([row_grad, row_query[:, None]], dim=1)  # rows batch+1 width
            by_slot = torch.bmm(left, right).flatten(0, 1)
            grad_embedding = by_slot.index_select(0, groups.voxel_slot)
        if ctx.needs_input_grad[1]:
            per_row = torch.bmm(grad_affinity[:, None], slot_embedding)  # rows 1 width
            grad_query = _sum_rows(per_row.transpose(0, 1), groups)[0]
        if ctx.needs_input_grad[2]:
            slot_grad = grad_weight * attention + grad_scores * affinity
            grad_betas = slot_grad.flatten(1).index_select(1, groups.voxel_slot)
        return grad_embedding, grad_query, grad_betas, None, None


def _softmax_in_cluster(scores: Tensor, groups: VoxelGroups) -> tuple[Tensor, Tensor]:
    """Return the softmax over all slots of a cluster, and whether any score is finite.

    The softmax is all zeros where every score is minus infinity.
    """
    row_cluster = groups.row_cluster.expand(len(scores), -1)
    highest = scores.new_full((len(scores), groups.n_clusters), -math.inf)
    highest.scatter_reduce_(1, row_cluster, scores.amax(2), "amax")
    highest.masked_fill_(highest == -math.inf, 0.0)
    weights = torch.exp(scores - highest[:, groups.row_cluster, None])
    total = _sum_rows(weights.sum(2), groups)
    is_absent = total == 0.0
    total.masked_fill_(is_absent, 1.0)
    return weights.div_(total[:, groups.row_cluster, None]), ~is_absent


class BrainTokenizer(nn.Module):
    """Turn the responses of any subject's voxels into one token per functional cluster.

    Parameters
    ----------
    n_clusters
        Functional clusters shared by all subjects (paper: 128).
    width
        Width of voxel embeddings, cluster embeddings and tokens (paper: 512).
    """

    def __init__(self, n_clusters: int, width: int) -> None:
        super().__init__()
        self.n_clusters = n_clusters
        self.width = width
        self.cluster_embedding = nn.Parameter(embedding_init(n_clusters, width))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.root = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        betas: Float[Tensor, "batch voxels"],
        embedding: Float[Tensor, "voxels width"],
        groups: VoxelGroups,
        keep: Bool[Tensor, "batch voxels"] | None = None,
    ) -> Float[Tensor, "batch clusters width"]:
        """Return the brain tokens of a batch of one subject (section 4).

        `betas` are z-scored responses, `embedding` and `groups` those of the same voxels in the
        same order. `keep` marks the voxels given per example; None gives all.
        """
        return self._tokens(*self._attend(betas, embedding, groups, keep))

    def mixed(
        self,
        betas: Sequence[Float[Tensor, "_batch _voxels"]],
        keep: Sequence[Bool[Tensor, "_batch _voxels"] | None],
        embedding: Float[Tensor, "voxels width"],
        groups: VoxelGroups,
    ) -> Float[Tensor, "batch clusters width"]:
        """Return the brain tokens of several subjects' examples, one subject after the other.

        `embedding` has the subjects' voxels one after the other; `groups` lays them out with the
        clusters of the first subject, then those of the second, and so on.
        """
        sizes, n_rows = [len(part) for part in betas], max(len(part) for part in betas)
        n_voxels = [part.shape[1] for part in betas]
        side_by_side = embedding.new_zeros(n_rows, sum(n_voxels))
        for part, place in zip(betas, torch.split(side_by_side, n_voxels, 1), strict=True):
            place[: len(part)] = part
        kept = None
        if any(part is not None for part in keep):
            kept = torch.ones_like(side_by_side, dtype=torch.bool)
            for mask, place in zip(keep, torch.split(kept, n_voxels, 1), strict=True):
                if mask is not None:
                    place[: len(mask)] = mask
        total, is_present = self._attend(side_by_side, embedding, groups, kept)
        examples = [row * len(sizes) + k for k, size in enumerate(sizes) for row in range(size)]
        chosen = torch.tensor(examples, device=total.device)
        by_subject = total.reshape(-1, self.n_clusters, self.width)  # rows x subjects
        is_present = is_present.reshape(-1, self.n_clusters)
        return self._tokens(by_subject.index_select(0, chosen), is_present.index_select(0, chosen))

    def _attend(
        self, betas: Tensor, embedding: Tensor, groups: VoxelGroups, keep: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sums of embeddings per cluster, and which clusters have voxels."""
        query = self.query(self.cluster_embedding)
        affinity_query = (query @ self.key.weight / math.sqrt(self.width)).to(embedding.dtype)
        affinity_query = affinity_query.repeat(groups.n_clusters // self.n_clusters, 1)
        betas = betas.to(embedding.dtype)
        with torch.autocast(betas.device.type, enabled=False):
            return _ClusterAttention.apply(  # type: ignore[no-untyped-call]
                embedding, affinity_query, betas, keep, groups
            )

    def _tokens(self, total: Tensor, is_present: Tensor) -> Float[Tensor, "batch clusters width"]:
        value = nn.functional.linear(total, self.value.weight)
        value = value + is_present.to(total.dtype)[..., None] * self.value.bias
        return self.norm(torch.relu(value + self.root(self.cluster_embedding)))


def embedding_init(n_rows: int, width: int) -> Float[Tensor, "rows width"]:
    """Draw initial embeddings or query tokens: normal times 0.1 / (2 sqrt(width))."""
    return torch.randn(n_rows, width) * (0.1 / (2.0 * math.sqrt(width)))
