"""Losses of the peers: golden values of the released forms, and plain loops."""

import math
from pathlib import Path

import torch
from tests.unit.models.peers.golden_peers import CLOSE, read
from torch import Tensor

from brainit.core.seeds import torch_generator
from brainit.training.peers.losses import (
    MIXCO_TEMPERATURE,
    Mixing,
    draw_mixing,
    joined,
    mixco_nce,
    mixing_targets,
    soft_clip,
    soft_temperature,
)


def unit(rows: int, seed: int) -> Tensor:
    values = torch.randn(rows, 7, generator=torch_generator(seed, "unit"), dtype=torch.float64)
    return values / values.norm(dim=1, keepdim=True)


def test_golden_mixco(golden_dir: Path) -> None:
    golden = read(golden_dir, "mindeye2_losses")
    mixing = Mixing(golden["mixco/perm"], golden["mixco/betas_used"])
    mixed = mixing.mixed(golden["mixco/voxels"][:, 0])
    torch.testing.assert_close(mixed, golden["mixco/mixed"][:, 0], **CLOSE)
    is_mixed, drawn = golden["mixco/select"], golden["mixco/betas_drawn"]
    assert torch.equal(torch.where(is_mixed, drawn, 1.0), mixing.share)
    targets = mixing_targets(mixing, "released")
    torch.testing.assert_close(targets, golden["contrast/mixco_target"], **CLOSE)
    predicted, true = golden["contrast/predicted"], golden["contrast/target"]
    found = {
        "mixco_nce_t006": mixco_nce(predicted, true, MIXCO_TEMPERATURE, targets),
        "mixco_nce_t1": mixco_nce(predicted, true, 0.1, targets),
        "mixco_nce_one_way_t1": mixco_nce(predicted, true, 0.1, targets, False),
        "nce_unmixed_t006": mixco_nce(predicted, true, MIXCO_TEMPERATURE),
        "soft_clip_t004": soft_clip(predicted, true, 0.004),
        "soft_clip_t006": soft_clip(predicted, true, 0.006),
        "soft_clip_t125": soft_clip(predicted, true, 0.125),
    }
    for name, value in found.items():
        torch.testing.assert_close(value, golden[f"contrast/{name}"], **CLOSE)


def test_golden_mixco_of_several_subjects(golden_dir: Path) -> None:
    golden = read(golden_dir, "mindeye2_losses")
    share = golden["mixco_multi/betas_used"]
    own = golden["mixco_multi/perm_as_released"]
    parts = [Mixing(own[:4], share[:4]), Mixing(own[4:], share[4:])]
    predicted, true = golden["mixco_multi/predicted"], golden["mixco_multi/target"]
    for form, name in (("released", "as_released"), ("corrected", "with_offset")):
        mixing = joined(parts, form)  # type: ignore[arg-type]
        assert torch.equal(mixing.partner, golden[f"mixco_multi/perm_{name}"])
        targets = mixing_targets(mixing, "released")
        torch.testing.assert_close(targets, golden[f"mixco_multi/target_matrix_{name}"], **CLOSE)
        loss = mixco_nce(predicted, true, 0.1, targets)
        torch.testing.assert_close(loss, golden[f"mixco_multi/loss_{name}_t1"], **CLOSE)


def test_golden_temperatures(golden_dir: Path) -> None:
    golden = read(golden_dir, "mindeye2_losses")
    found = torch.tensor([soft_temperature(epoch, 101) for epoch in range(101)])
    torch.testing.assert_close(found, golden["temperatures"].float(), rtol=1e-5, atol=1e-8)


def test_corrected_targets_are_shares() -> None:
    mixing = Mixing(torch.tensor([1, 0, 2, 3]), torch.tensor([0.9, 0.2, 0.7, 1.0]))
    corrected, released = mixing_targets(mixing), mixing_targets(mixing, "released")
    torch.testing.assert_close(corrected.sum(1), torch.ones(4))
    assert corrected.diagonal()[2:].tolist() == [1.0, 1.0]  # their own partners
    torch.testing.assert_close(released.diagonal()[2:], torch.tensor([0.3, 0.0]))
    assert torch.equal(corrected[:2], released[:2])


def test_bimixco_in_plain_loops() -> None:
    predicted, true = unit(5, 1), unit(5, 2)
    mixing = Mixing(torch.tensor([3, 0, 2, 1, 4]), torch.tensor([0.9, 0.4, 0.7, 1.0, 0.1]))
    total = 0.0
    for i in range(5):
        row = [math.exp(float(predicted[i] @ true[j]) / 0.1) for j in range(5)]
        column = [math.exp(float(predicted[j] @ true[i]) / 0.1) for j in range(5)]
        share, partner = float(mixing.share[i]), int(mixing.partner[i])
        total -= share * math.log(row[i] / sum(row)) / 10
        total -= (1 - share) * math.log(row[partner] / sum(row)) / 10
        total -= share * math.log(column[i] / sum(column)) / 10
        for j in range(5):
            if int(mixing.partner[j]) == i:
                total -= (1 - float(mixing.share[j])) * math.log(column[j] / sum(column)) / 10
    found = mixco_nce(predicted, true, 0.1, mixing_targets(mixing).double())
    torch.testing.assert_close(float(found), total, rtol=1e-6, atol=1e-6)


def test_soft_clip_in_plain_loops() -> None:
    predicted, true = unit(4, 3), unit(4, 4)

    def cross_entropy(logits: Tensor, wanted: Tensor) -> float:
        total = 0.0
        for i in range(4):
            norm = sum(math.exp(float(x)) for x in logits[i])
            wants = [math.exp(float(x)) for x in wanted[i]]
            for j in range(4):
                total -= wants[j] / sum(wants) * (float(logits[i, j]) - math.log(norm)) / 4
        return total

    logits, similar = predicted @ true.T / 0.1, true @ true.T / 0.1
    expected = 0.5 * (cross_entropy(logits, similar) + cross_entropy(logits.T, similar))
    torch.testing.assert_close(float(soft_clip(predicted, true, 0.1)), expected)


def test_half_of_the_examples_are_mixed_by_beta_shares() -> None:
    mixing = draw_mixing(20000, torch_generator(1, "mixing"))
    # Half are 1; the rest have the mean .5 and the variance of Beta(a, a), 1 / (4 (2 a + 1)).
    assert abs(float(mixing.share.mean()) - 0.75) < 0.01
    assert abs(float((1 - mixing.share).square().mean()) - (0.25 + 1 / 5.2) / 2) < 0.01
    assert sorted(mixing.partner.tolist()) == list(range(20000))
