"""BIT: golden values of the released code, what it must ignore, and that it can learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.refusals import refused
from tests.small_models import small_bit
from torch import Tensor

from brainit.core.seeds import seeded_init, torch_generator
from brainit.models.authors.bit_names import from_released_names
from brainit.models.brain_transformer import BrainInteractionTransformer, SubjectBatch
from brainit.models.cross_transformer import CrossBlock, SelfBlock


def golden_size_bit(voxel_cluster: Tensor, n_clusters: int = 8) -> BrainInteractionTransformer:
    with seeded_init(5, "bit"):
        return small_bit(
            voxel_cluster, n_clusters, n_queries=10, out_width=24, width=32, n_heads=4, n_blocks=2
        )


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, NDArray[Any]]:
    with np.load(golden_dir / "bit_small.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def golden_bit(golden: dict[str, NDArray[Any]]) -> BrainInteractionTransformer:
    cluster = torch.from_numpy(golden["voxel_cluster"]).to(torch.int64)
    model = golden_size_bit(cluster)
    released = {
        name.removeprefix("weights/"): torch.from_numpy(array)
        for name, array in golden.items()
        if name.startswith("weights/")
    }
    model.load_state_dict(from_released_names(released, cluster))
    return model


def relative_error(found: Tensor, expected: NDArray[Any]) -> float:
    return float(np.abs(found.detach().numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("subject", "voxels"), [(0, slice(0, 140)), (1, slice(140, 300))])
def test_golden_prediction_subset_and_cross_attention(
    golden: dict[str, NDArray[Any]],
    golden_bit: BrainInteractionTransformer,
    subject: int,
    voxels: slice,
) -> None:
    name = f"subject{subject}"
    betas = torch.from_numpy(golden[f"{name}.betas"])
    assert relative_error(golden_bit(betas, voxels), golden[f"{name}.prediction"]) < 1e-4
    attention = golden_bit.cross_attention(golden_bit.tokenize(betas, voxels))
    assert relative_error(attention, golden[f"{name}.cross_attention"]) < 1e-4
    keep = torch.zeros_like(betas, dtype=torch.bool)
    keep[:, golden[f"{name}.subset"]] = True
    subset = golden_bit(betas, voxels, keep)
    assert relative_error(subset, golden[f"{name}.subset_prediction"]) < 1e-4


def test_unknown_released_name_is_refused() -> None:
    with refused("wrong-kind", "optimizer"):
        from_released_names({"optimizer": torch.zeros(1)}, torch.zeros(1))


@pytest.fixture
def bit() -> BrainInteractionTransformer:
    """Two subjects of 40 and 50 voxels."""
    return golden_size_bit(torch.randint(8, (90,), generator=torch_generator(2, "clusters")))


def draws(n_batch: int, n_voxels: int, name: str) -> Tensor:
    return torch.randn(n_batch, n_voxels, generator=torch_generator(2, name))


def test_other_subjects_voxels_do_not_matter(bit: BrainInteractionTransformer) -> None:
    betas = draws(3, 40, "first")
    before = bit(betas, slice(0, 40))
    with torch.no_grad():
        bit.voxel_embedding[40:] = 7.0
    assert torch.equal(before, bit(betas, slice(0, 40)))
    bit(betas, slice(0, 40)).square().sum().backward()
    assert bit.voxel_embedding.grad is not None
    assert bool((bit.voxel_embedding.grad[40:] == 0).all())
    assert bool((bit.voxel_embedding.grad[:40] != 0).any())


def test_permuting_voxels_with_embedding_and_cluster_leaves_the_output(
    bit: BrainInteractionTransformer,
) -> None:
    betas = draws(3, 50, "second")
    order = torch.randperm(50, generator=torch_generator(2, "order"))
    whole = torch.cat([torch.arange(40), 40 + order])
    permuted = golden_size_bit(bit.voxel_cluster[whole])
    state = dict(bit.state_dict())
    state["voxel_embedding"] = state["voxel_embedding"][whole]
    state["voxel_cluster"] = state["voxel_cluster"][whole]
    permuted.load_state_dict(state)
    torch.testing.assert_close(
        bit(betas, slice(40, 90)), permuted(betas[:, order], slice(40, 90)), atol=1e-6, rtol=1e-5
    )


def test_dropped_voxels_responses_do_not_matter(bit: BrainInteractionTransformer) -> None:
    betas = draws(3, 40, "first")
    keep = draws(3, 40, "keep") > 0
    other = torch.where(keep, betas, 100.0)
    first, second = bit(betas, slice(0, 40), keep), bit(other, slice(0, 40), keep)
    assert torch.equal(first, second)


def test_query_subset_equals_those_of_all(bit: BrainInteractionTransformer) -> None:
    betas = draws(3, 40, "first")
    index = torch.tensor([[0, 9, 4], [1, 1, 2], [7, 3, 0]])
    whole = bit(betas, slice(0, 40))
    expected = torch.stack([whole[example, index[example]] for example in range(3)])
    found = bit(betas, slice(0, 40), query_index=index)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_mixed_batch_equals_subject_by_subject(bit: BrainInteractionTransformer) -> None:
    first, second = draws(2, 40, "first"), draws(3, 50, "second")
    keep = draws(3, 50, "keep") > 0
    groups = [SubjectBatch(second, slice(40, 90), keep), SubjectBatch(first, slice(0, 40))]
    apart = [bit.tokenize(second, slice(40, 90), keep), bit.tokenize(first, slice(0, 40))]
    mixed = bit.tokenize_mixed(groups)
    torch.testing.assert_close(mixed, torch.cat(apart), atol=1e-6, rtol=1e-5)
    (expected,) = torch.autograd.grad(torch.cat(apart).square()[..., 0].sum(), bit.voxel_embedding)
    (found,) = torch.autograd.grad(mixed.square()[..., 0].sum(), bit.voxel_embedding)
    torch.testing.assert_close(found, expected)


def test_mixed_batch_of_one_subject_leaves_the_others_alone(
    bit: BrainInteractionTransformer,
) -> None:
    """Voxels of subjects without examples in a batch have no gradient."""
    betas, voxels = draws(2, 30, "third"), slice(50, 80)
    alone = bit.tokenize_mixed([SubjectBatch(betas, voxels)])
    torch.testing.assert_close(alone, bit.tokenize(betas, voxels), atol=1e-6, rtol=1e-5)
    (gradient,) = torch.autograd.grad(alone.square()[..., 0].sum(), bit.voxel_embedding)
    is_touched = gradient.abs().sum(1) > 0
    assert is_touched[voxels].any() and not is_touched[:50].any() and not is_touched[80:].any()


def test_first_use_in_inference_mode_does_not_spoil_training(
    bit: BrainInteractionTransformer,
) -> None:
    betas = draws(3, 40, "first")
    with torch.inference_mode():
        bit(betas, slice(0, 40))
    bit(betas, slice(0, 40)).sum().backward()
    assert bit.voxel_embedding.grad is not None


def test_loading_another_map_regroups_the_voxels(bit: BrainInteractionTransformer) -> None:
    betas = draws(3, 40, "first")
    other = golden_size_bit((bit.voxel_cluster + 1) % 8)
    expected = other(betas, slice(0, 40))
    assert not torch.allclose(expected, bit(betas, slice(0, 40)))
    bit.load_state_dict(other.state_dict())
    assert torch.equal(expected, bit(betas, slice(0, 40)))


def test_mixed_precision_stays_close(bit: BrainInteractionTransformer) -> None:
    betas = draws(3, 40, "first")
    exact = bit(betas, slice(0, 40))
    with torch.autocast("cpu", torch.bfloat16):
        rough = bit(betas, slice(0, 40))
    assert float((rough - exact).detach().abs().max() / exact.detach().abs().max()) < 0.03
    rough.float().sum().backward()
    assert bit.voxel_embedding.grad is not None
    assert bit.voxel_embedding.grad.dtype == torch.float32


def test_overfits_one_tiny_batch(bit: BrainInteractionTransformer) -> None:
    betas = draws(4, 40, "first")
    target = torch.randn(4, 10, 24, generator=torch_generator(2, "target"))
    optimiser = torch.optim.AdamW(bit.parameters(), lr=1e-2, fused=True)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (bit(betas, slice(0, 40)) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_initial_embeddings_have_the_published_spread() -> None:
    model = golden_size_bit(torch.zeros(5000, dtype=torch.int64))
    expected = 0.1 / (2 * 32**0.5)
    assert model.voxel_embedding.std().item() == pytest.approx(expected, rel=0.02)


def test_clusters_out_of_range_are_refused() -> None:
    with refused("bad-values", "0..7", "0..8"):
        golden_size_bit(torch.arange(9))


def test_betas_of_another_subject_are_refused(bit: BrainInteractionTransformer) -> None:
    with refused("inconsistent-inputs", "40 voxels", "50"):
        bit(draws(1, 50, "second"), slice(0, 40))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of one head and one example in plain loops."""
    rows = []
    for q in query:
        scores = torch.stack([(q * k).sum() / len(q) ** 0.5 for k in key])
        weights = scores.exp() / scores.exp().sum()
        rows.append(sum(w * v for w, v in zip(weights, value, strict=True)))
    return torch.stack(rows)


def test_cross_block_equals_plain_loops() -> None:
    """Read: y = proj(attention(query, LN(tokens))); y <- y + MLP(LN(y)); query <- query + y."""
    with seeded_init(6, "cross"):
        block = CrossBlock(8, 2).double()
    queries, tokens = draws(3, 8, "queries").double(), draws(5, 8, "tokens").double()
    normed = block.norm1(tokens)
    key, value = normed @ block.kv.weight[:8].T, normed @ block.kv.weight[8:].T
    heads = [
        attend(queries[:, part], key[:, part], value[:, part])
        for part in (slice(0, 4), slice(4, 8))
    ]
    y = block.proj(torch.cat(heads, 1))
    y = y + block.mlp(block.norm2(y))
    found = block(queries[None], tokens[None])[0]
    torch.testing.assert_close(found, queries + y, atol=1e-12, rtol=1e-10)


def test_self_block_equals_plain_loops() -> None:
    """Mix: tokens += proj(attention(LN(tokens))); tokens += MLP(LN(tokens))."""
    with seeded_init(6, "self"):
        block = SelfBlock(8, 2).double()
    tokens = draws(5, 8, "tokens").double()
    normed = block.norm1(tokens)
    query, key, value = (normed @ block.qkv.weight[i : i + 8].T for i in (0, 8, 16))
    heads = [
        attend(query[:, part], key[:, part], value[:, part]) for part in (slice(0, 4), slice(4, 8))
    ]
    expected = tokens + block.proj(torch.cat(heads, 1))
    expected = expected + block.mlp(block.norm2(expected))
    torch.testing.assert_close(block(tokens[None])[0], expected, atol=1e-12, rtol=1e-10)
