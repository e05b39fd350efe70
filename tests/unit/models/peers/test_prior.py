"""MindEye2's prior: golden values, and plain loops for its parts."""

import math
from pathlib import Path

import torch
from tests.unit.models.peers.golden_peers import CLOSE, read, weights
from torch import Tensor

from brainit.core.seeds import torch_generator
from brainit.models.peers.prior_diffusion import (
    PriorDraws,
    cosine_schedule,
    noised,
    prior_loss,
    sample_prior,
    sampling_times,
)
from brainit.models.peers.prior_network import PriorNetwork, position_buckets, rotated


def golden_prior(golden_dir: Path) -> tuple[dict[str, Tensor], PriorNetwork]:
    golden = read(golden_dir, "mindeye2_prior")
    network = PriorNetwork(n_tokens=5, width=72, depth=2, n_heads=2, head_width=36)
    network.load_state_dict(weights(golden, ""))
    return golden, network.eval()


@torch.no_grad()
def test_golden_predictions(golden_dir: Path) -> None:
    golden, network = golden_prior(golden_dir)
    noisy, times, brain = golden["noisy"], golden["times"], golden["backbone"]
    none, both = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    expected = {
        "predicted": network(noisy, times, brain),
        "predicted_no_brain": network(noisy, times, brain, none, both),
        "predicted_no_image": network(noisy, times, brain, both, none),
        "predicted_nothing": network(noisy, times, brain, none, none),
        "predicted_guided_2": network.guided(noisy, times, brain, 2.0),
    }
    for name, found in expected.items():
        torch.testing.assert_close(found, golden[name], **CLOSE)


@torch.no_grad()
def test_golden_schedule_noise_loss_and_samples(golden_dir: Path) -> None:
    golden, network = golden_prior(golden_dir)
    schedule = cosine_schedule()
    for name in ("betas", "alphas_cumprod", "alphas_cumprod_prev"):
        torch.testing.assert_close(getattr(schedule, name), golden[f"schedule/{name}"], **CLOSE)
    target, brain = golden["target"], golden["backbone"]
    draws = PriorDraws(golden["noise"], golden["times"])
    noisy = noised(target, draws.noise, draws.times)
    torch.testing.assert_close(noisy, golden["noisy"], **CLOSE)
    torch.testing.assert_close(prior_loss(network, target, brain, draws), golden["loss"], **CLOSE)
    assert sampling_times() == golden["sampling/timesteps_of_calls"].tolist()
    noises = iter(golden["sampling/noises"])
    sampled = sample_prior(network, brain, lambda: next(noises))
    # float32 over all steps: how the errors add up depends on the CPU.
    torch.testing.assert_close(sampled, golden["sampling/sampled"], rtol=1e-3, atol=1e-4)


def test_rotation_in_plain_loops() -> None:
    vectors = torch.randn(2, 6, 36, dtype=torch.float64)
    expected = vectors.clone()
    for position in range(6):
        for pair in range(16):
            angle = position / 10000 ** (2 * pair / 32)
            x, y = vectors[:, position, 2 * pair], vectors[:, position, 2 * pair + 1]
            expected[:, position, 2 * pair] = x * math.cos(angle) - y * math.sin(angle)
            expected[:, position, 2 * pair + 1] = y * math.cos(angle) + x * math.sin(angle)
    torch.testing.assert_close(rotated(vectors), expected, rtol=1e-6, atol=1e-6)


def test_buckets_in_plain_loops() -> None:
    buckets = position_buckets(150)
    for query in range(0, 150, 7):
        for key in range(151):
            left = query - key
            if left <= 0:
                expected = 0
            elif left < 16:
                expected = left
            else:
                expected = min(31, 16 + int(math.log(left / 16) / math.log(8) * 16 + 1e-6))
            assert buckets[query, key] == expected, (query, key)


@torch.no_grad()
def test_one_head_of_attention_in_plain_loops() -> None:
    network = PriorNetwork(n_tokens=2, width=8, depth=1, n_heads=2, head_width=4).double()
    attention = network.causal_transformer.layers[0][0]  # type: ignore[index]
    tokens, bias = torch.randn(1, 3, 8).double(), torch.randn(2, 3, 4).double()
    normed = attention.norm(tokens)[0]
    query = rotated(attention.to_q(normed).unflatten(-1, (2, 4)).transpose(0, 1))
    key, value = attention.to_kv(normed).chunk(2, -1)
    keys = [attention.null_kv[0], *rotated(key)]
    values = [attention.null_kv[1], *value]
    outs = []
    for n in range(3):
        heads = []
        for head in range(2):
            unit = query[head, n] / query[head, n].norm()
            logits = [16 * unit @ (k / k.norm()) + bias[head, n, j] for j, k in enumerate(keys)]
            powers = [math.exp(float(logit)) for logit in logits]
            parts = [p / sum(powers) * v for p, v in zip(powers, values, strict=True)]
            heads.append(torch.stack(parts).sum(0))
        outs.append(attention.to_out(torch.cat(heads)))
    torch.testing.assert_close(attention(tokens, bias)[0], torch.stack(outs), rtol=1e-6, atol=1e-6)


def test_a_fifth_of_examples_lose_their_tokens() -> None:
    draws = PriorDraws.of((4000, 1, 1), torch_generator(1, "prior"))
    assert draws.keeps_brain is not None and draws.keeps_image is not None
    assert abs(float(draws.keeps_brain.float().mean()) - 0.8) < 0.02
    both = (~draws.keeps_brain & ~draws.keeps_image).float().mean()
    assert abs(float(both) - 0.04) < 0.01 and int(draws.times.max()) == 99
