"""The Brain Tokenizer: one token per functional cluster (Brain-IT section 4; Shi et al. 2021).

A single-head graph attention with edges from each voxel to its cluster: queries are the shared
cluster embeddings, keys and values the voxel embeddings scaled by the voxels' responses. As in the
released code a root term, ReLU and LayerNorm follow; a cluster without kept voxels has the root
term alone. The key has no bias, which would add the same to every score of a cluster.

Because a voxel enters as `response * embedding`, the work factors: one number per voxel and step
(`affinity`), scores that are scalars, raw embeddings summed per cluster, values projected after.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class VoxelGroups:
    """The voxels of one subject in rows of one length, each row of one cluster.

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
    ) -> Tensor:
        slot_embedding = embedding[groups.slot_voxel]  # rows slots width
        row_query = affinity_query[groups.row_cluster]  # rows width
        affinity = torch.bmm(slot_embedding, row_query[:, :, None])[..., 0]
        slot_betas = betas[:, groups.slot_voxel]
        scores = slot_betas * affinity
        if keep is None:
            scores.masked_fill_(~groups.is_filled, -math.inf)
        else:
            scores.masked_fill_(~(keep[:, groups.slot_voxel] & groups.is_filled), -math.inf)
        attention = _softmax_in_cluster(scores, groups)
        weight = attention * slot_betas
        partial = torch.bmm(weight.transpose(0, 1), slot_embedding)  # rows batch width
        ctx.groups = groups
        ctx.save_for_backward(slot_embedding, row_query, affinity, slot_betas, attention)
        return _sum_rows(partial.transpose(0, 1), groups)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        groups: VoxelGroups = ctx.groups
        slot_embedding, row_query, affinity, slot_betas, attention = ctx.saved_tensors
        row_grad = grad.transpose(0, 1)[groups.row_cluster]  # rows batch width
        grad_weight = torch.bmm(row_grad, slot_embedding.transpose(1, 2)).transpose(0, 1)
        grad_attention = grad_weight * slot_betas
        mean = _sum_rows((attention * grad_attention).sum(2), groups)  # batch clusters
        grad_scores = attention * (grad_attention - mean[:, groups.row_cluster, None])
        grad_affinity = (grad_scores * slot_betas).sum(0)  # rows slots
        grad_embedding = grad_query = grad_betas = None
        if ctx.needs_input_grad[0]:
            left = torch.cat([attention * slot_betas, grad_affinity[None]]).permute(1, 2, 0)
            right = torch.cat([row_grad, row_query[:, None]], dim=1)  # rows batch+1 width
            grad_embedding = torch.bmm(left, right).flatten(0, 1)[groups.voxel_slot]
        if ctx.needs_input_grad[1]:
            per_row = torch.bmm(grad_affinity[:, None], slot_embedding)  # rows 1 width
            grad_query = _sum_rows(per_row.transpose(0, 1), groups)[0]
        if ctx.needs_input_grad[2]:
            slot_grad = grad_weight * attention + grad_scores * affinity
            grad_betas = slot_grad.flatten(1)[:, groups.voxel_slot]
        return grad_embedding, grad_query, grad_betas, None, None


def _softmax_in_cluster(scores: Tensor, groups: VoxelGroups) -> Tensor:
    """Softmax over all slots of a cluster; all zeros where every score is minus infinity."""
    row_cluster = groups.row_cluster.expand(len(scores), -1)
    highest = scores.new_full((len(scores), groups.n_clusters), -math.inf)
    highest.scatter_reduce_(1, row_cluster, scores.amax(2), "amax")
    highest.masked_fill_(highest == -math.inf, 0.0)
    weights = torch.exp(scores - highest[:, groups.row_cluster, None])
    total = _sum_rows(weights.sum(2), groups)
    total.masked_fill_(total == 0.0, 1.0)
    return weights.div_(total[:, groups.row_cluster, None])


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
        query = self.query(self.cluster_embedding)
        affinity_query = (query @ self.key.weight / math.sqrt(self.width)).to(embedding.dtype)
        betas = betas.to(embedding.dtype)
        with torch.autocast(betas.device.type, enabled=False):
            total = _ClusterAttention.apply(  # type: ignore[no-untyped-call]
                embedding, affinity_query, betas, keep, groups
            )
        is_present = self._is_present(len(betas), groups, keep).to(total.dtype)
        value = nn.functional.linear(total, self.value.weight)
        value = value + is_present[..., None] * self.value.bias
        return self.norm(torch.relu(value + self.root(self.cluster_embedding)))

    def _is_present(
        self, n_batch: int, groups: VoxelGroups, keep: Tensor | None
    ) -> Bool[Tensor, "batch clusters"]:
        if keep is None:
            filled = groups.is_filled.any(1)[None].expand(n_batch, -1)
        else:
            filled = (keep[:, groups.slot_voxel] & groups.is_filled).any(2)
        return _sum_rows(filled.to(torch.int32), groups) > 0


def embedding_init(n_rows: int, width: int) -> Float[Tensor, "rows width"]:
    """Draw initial embeddings or query tokens: normal times 0.1 / (2 sqrt(width))."""
    return torch.randn(n_rows, width) * (0.1 / (2.0 * math.sqrt(width)))
