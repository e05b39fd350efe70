"""The Python interface returns the same arrays as the models behind it."""

from pathlib import Path

import pytest
import torch
from tests.refusals import refused

from brainit import api
from brainit.core.settings import BitSettings
from brainit.models.brain_transformer import BrainInteractionTransformer, save_bit
from brainit.models.token_calibration import TokenCalibration

SETTINGS = BitSettings(width=8, n_heads=2, n_blocks=1)


@pytest.fixture
def bit() -> BrainInteractionTransformer:
    torch.manual_seed(0)
    return BrainInteractionTransformer(
        voxel_cluster=torch.arange(9) % 3,
        n_clusters=3,
        n_queries=5,
        out_width=4,
        **SETTINGS.model_dump(),
    ).eval()


def test_features_are_the_bit_s_calibrated(
    bit: BrainInteractionTransformer, tmp_path: Path
) -> None:
    path, betas = tmp_path / "bit.safetensors", torch.randn(2, 5)
    calibration = TokenCalibration(
        2 * torch.eye(4).expand(2, 4, 4), torch.ones(2, 4), torch.tensor([3, 2])
    )
    expected = bit(betas, slice(4, 9)).detach()
    for kept, wanted in ((None, expected), (calibration, 2 * expected + 1)):
        save_bit(
            path,
            bit,
            subjects={"subj01": 4, "subj02": 5},
            kind="lowlevel",
            settings=SETTINGS,
            seed=0,
            calibration=kept,
        )
        found = api.predict_features(api.open_decoder(path), "subj02", betas)
        torch.testing.assert_close(found, wanted)


def test_other_voxels_are_refused(bit: BrainInteractionTransformer, tmp_path: Path) -> None:
    path = tmp_path / "bit.safetensors"
    save_bit(path, bit, subjects={"subj01": 9}, kind="semantic", settings=SETTINGS, seed=0)
    loaded = api.open_decoder(path)
    for subject, n_voxels in (("subj02", 9), ("subj01", 8)):
        with refused("inconsistent-inputs", "{'subj01': 9}"):
            api.predict_features(loaded, subject, torch.randn(1, n_voxels))


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with refused("missing-file", "provenance.json"):
        api.open_reconstructions(tmp_path)
