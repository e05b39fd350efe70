"""The factorised tokenizer against graph attention edge by edge, in plain loops."""

import math

import pytest
import torch
from torch import Tensor

from brainit.core.seeds import seeded_init, torch_generator
from brainit.models.brain_tokenizer import BrainTokenizer, VoxelGroups, group_voxels

N_BATCH, N_VOXELS, N_CLUSTERS, WIDTH = 3, 23, 6, 8


def small_case(
    dtype: torch.dtype = torch.float32,
) -> tuple[BrainTokenizer, Tensor, Tensor, Tensor, Tensor]:
    """Return a tokenizer, betas, embeddings, clusters and kept voxels.

    Cluster 4 has no voxel, cluster 0 none that is kept in example 1, one beta is zero.
    """
    generator = torch_generator(3, "tokenizer")
    with seeded_init(3, "tokenizer"):
        tokenizer = BrainTokenizer(N_CLUSTERS, WIDTH).to(dtype)
    tokenizer.cluster_embedding.data.mul_(200.0)
    cluster = torch.randint(4, (N_VOXELS,), generator=generator)
    cluster[5], cluster[9] = 5, 0
    betas = torch.randn(N_BATCH, N_VOXELS, generator=generator).to(dtype)
    betas[0, 2] = 0.0
    embedding = torch.randn(N_VOXELS, WIDTH, generator=generator).to(dtype)
    keep = torch.rand(N_BATCH, N_VOXELS, generator=generator) < 0.6
    keep[1, cluster == 0] = False
    return tokenizer, betas, embedding, cluster, keep


def edge_by_edge(
    tokenizer: BrainTokenizer, betas: Tensor, embedding: Tensor, cluster: Tensor, keep: Tensor
) -> Tensor:
    """Graph attention as published: keys and values of every edge, softmax over a node's edges."""
    examples = []
    for example in range(len(betas)):
        tokens = []
        for number in range(N_CLUSTERS):
            node = tokenizer.cluster_embedding[number]
            query = tokenizer.query(node)
            scores, values = [], []
            for voxel in range(len(cluster)):
                if cluster[voxel] == number and keep[example, voxel]:
                    modulated = betas[example, voxel] * embedding[voxel]
                    scores.append(query @ tokenizer.key(modulated) / math.sqrt(WIDTH))
                    values.append(tokenizer.value(modulated))
            token = tokenizer.root(node)
            if scores:
                attention = torch.softmax(torch.stack(scores), 0)
                token = token + sum(a * v for a, v in zip(attention, values, strict=True))
            tokens.append(tokenizer.norm(torch.relu(token)))
        examples.append(torch.stack(tokens))
    return torch.stack(examples)


def gradients(tokenizer: BrainTokenizer, tokens: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    generator = torch_generator(4, "weights")
    weights = torch.randn(tokens.shape, generator=generator).to(tokens.dtype)
    return list(torch.autograd.grad((tokens * weights).sum(), leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_all_gradients_equal_edge_list(dtype: torch.dtype) -> None:
    tokenizer, betas, embedding, cluster, keep = small_case(dtype)
    betas.requires_grad_()
    embedding.requires_grad_()
    leaves = [betas, embedding, *tokenizer.parameters()]
    found = tokenizer(betas, embedding, group_voxels(cluster, N_CLUSTERS), keep)
    expected = edge_by_edge(tokenizer, betas, embedding, cluster, keep)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    ours = gradients(tokenizer, found, leaves)
    plain = gradients(tokenizer, expected, leaves)
    for mine, theirs in zip(ours, plain, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine, theirs, atol=tolerance * max(scale, 1.0), rtol=tolerance)
    assert float(ours[0].abs().max()) > 1e-3
    assert bool((ours[0][~keep] == 0).all())


def test_none_keeps_all_voxels() -> None:
    tokenizer, betas, embedding, cluster, keep = small_case()
    groups = group_voxels(cluster, N_CLUSTERS)
    torch.testing.assert_close(
        tokenizer(betas, embedding, groups),
        edge_by_edge(tokenizer, betas, embedding, cluster, torch.ones_like(keep)),
        atol=1e-5,
        rtol=1e-5,
    )


def test_cluster_without_kept_voxel_has_the_root_term_alone() -> None:
    tokenizer, betas, embedding, cluster, _ = small_case()
    betas.requires_grad_()
    nothing = torch.zeros(N_BATCH, N_VOXELS, dtype=torch.bool)
    tokens = tokenizer(betas, embedding, group_voxels(cluster, N_CLUSTERS), nothing)
    root = tokenizer.norm(torch.relu(tokenizer.root(tokenizer.cluster_embedding)))
    torch.testing.assert_close(tokens, root.expand_as(tokens))
    for gradient in gradients(tokenizer, tokens, [betas, tokenizer.key.weight]):
        assert bool((gradient == 0).all())


def test_huge_scores_stay_finite() -> None:
    tokenizer, betas, embedding, cluster, keep = small_case()
    betas = (betas * 1e4).requires_grad_()
    tokens = tokenizer(betas, embedding, group_voxels(cluster, N_CLUSTERS), keep)
    assert bool(tokens.isfinite().all())
    assert all(
        g.isfinite().all() for g in gradients(tokenizer, tokens, list(tokenizer.parameters()))
    )


def test_constant_added_to_keys_changes_nothing() -> None:
    """Why the key has no bias: it shifts all scores of a cluster alike."""
    tokenizer, betas, embedding, cluster, keep = small_case(torch.float64)
    groups = group_voxels(cluster, N_CLUSTERS)
    plain = tokenizer(betas, embedding, groups, keep)

    class BiasedKey(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.linear(x, key.weight) + 3.0

    key = tokenizer.key
    tokenizer.key = BiasedKey()  # type: ignore[assignment]
    biased = edge_by_edge(tokenizer, betas, embedding, cluster, keep)
    torch.testing.assert_close(plain, biased, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("sizes", [[5, 5, 5], [1, 0, 30, 2], [0, 7], [1], [40, 1, 1, 1, 0]])
def test_groups_hold_every_voxel_once_in_rows_of_its_cluster(sizes: list[int]) -> None:
    cluster = torch.cat([torch.full((size,), number) for number, size in enumerate(sizes)])
    cluster = cluster[torch.randperm(len(cluster), generator=torch_generator(1, "order"))]
    groups: VoxelGroups = group_voxels(cluster, len(sizes))
    assert sorted(groups.slot_voxel[groups.is_filled].tolist()) == list(range(len(cluster)))
    assert torch.equal(groups.slot_voxel.flatten()[groups.voxel_slot], torch.arange(len(cluster)))
    for row, number in enumerate(groups.row_cluster.tolist()):
        inside = groups.slot_voxel[row][groups.is_filled[row]]
        assert len(inside) > 0
        assert set(cluster[inside].tolist()) == {number}


def test_one_large_cluster_does_not_pad_the_others() -> None:
    cluster = torch.cat([torch.zeros(900, dtype=torch.int64), torch.arange(1, 101)])
    groups = group_voxels(cluster, 101)
    assert groups.slot_voxel.numel() <= 2 * len(cluster)
