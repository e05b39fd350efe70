"""MindEye2's networks: golden values, and its released backbone is linear."""

from pathlib import Path

import pytest
import torch
from tests.unit.models.peers.golden_peers import CLOSE, read, weights
from torch import Tensor

from brainit.core.seeds import seeded_init
from brainit.models.peers.mindeye2_network import (
    Backbone,
    Residual,
    SubjectLayers,
    mixer_constants,
)

RESIDUALS: tuple[Residual, ...] = ("released", "drawn")


def released(golden_dir: Path) -> tuple[dict[str, Tensor], SubjectLayers, Backbone]:
    golden = read(golden_dir, "mindeye2_backbone")
    layers, backbone = SubjectLayers([40, 50], 24), Backbone(24, 6, 10, "released")
    layers.load_state_dict(weights(golden, "ridge."))
    backbone.load_state_dict(weights(golden, "backbone."))
    return golden, layers.eval(), backbone.eval()


@torch.no_grad()
def test_golden_tokens_and_retrieval_features(golden_dir: Path) -> None:
    golden, layers, backbone = released(golden_dir)
    torch.testing.assert_close(mixer_constants(backbone), golden["mixer_constants"], **CLOSE)
    for subject in (0, 1):
        latent = layers(golden[f"subject{subject}.betas"], subject)
        torch.testing.assert_close(latent, golden[f"subject{subject}.latent"], **CLOSE)
        tokens, features = backbone(latent)
        torch.testing.assert_close(tokens, golden[f"subject{subject}.backbone"], **CLOSE)
        torch.testing.assert_close(features, golden[f"subject{subject}.clip_voxels"], **CLOSE)


def drawn(residual: Residual) -> Backbone:
    with seeded_init(3, "backbone", residual):
        backbone = Backbone(16, 3, 5, residual)
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.4)
    return backbone.double().eval()


@pytest.mark.parametrize(("residual", "is_affine"), [("released", True), ("drawn", False)])
@torch.no_grad()
def test_only_the_released_backbone_is_affine(residual: Residual, is_affine: bool) -> None:
    """f(a + b) - f(a) - f(b) + f(0) = 0 for an affine f."""
    backbone, points = drawn(residual), torch.randn(2, 7, 16, dtype=torch.float64)
    one, other = points
    zero = torch.zeros_like(one)
    of_one, of_zero = backbone(one)[0], backbone(zero)[0]
    defect = backbone(one + other)[0] - of_one - backbone(other)[0] + of_zero
    share = float(defect.norm() / (of_one - of_zero).norm())
    assert share < 1e-12 if is_affine else share > 0.1


@torch.no_grad()
def test_the_released_backbone_in_closed_form_ignores_its_channel_mixer() -> None:
    backbone, latent = drawn("released"), torch.randn(4, 16, dtype=torch.float64)
    before = backbone(latent)[0]
    total = mixer_constants(backbone.float()).double().sum()
    backbone.double()
    closed = backbone.tokens(latent + total)
    torch.testing.assert_close(before, closed, rtol=1e-5, atol=1e-5)
    for parameter in backbone.mixer_blocks1.parameters():
        torch.nn.init.normal_(parameter)
    assert torch.equal(backbone(latent)[0], before)


def test_the_released_channel_mixer_gets_no_gradient() -> None:
    for residual in RESIDUALS:
        with seeded_init(3, "default", residual):
            backbone = Backbone(16, 3, 5, residual)
        backbone(torch.randn(4, 16))[0].square().sum().backward()
        grads = [parameter.grad for parameter in backbone.mixer_blocks1.parameters()]
        is_zero = all(grad is None or not grad.any() for grad in grads)
        assert is_zero == (residual == "released")
