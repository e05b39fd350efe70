"""The file of a BIT: survives a round trip, refuses other subjects, settings and damage."""

from pathlib import Path

import pytest
import torch
from tests.small_models import small_bit

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import BitSettings
from brainit.models.brain_transformer import (
    BitDecoder,
    BrainInteractionTransformer,
    load_bit,
    require_same_sizes,
    save_bit,
)

SUBJECTS = {"subj01": 12, "subj05": 18}
SETTINGS = BitSettings(width=16, n_heads=2, n_blocks=1)


@pytest.fixture
def bit() -> BrainInteractionTransformer:
    cluster = torch.randint(4, (30,), generator=torch_generator(1, "clusters"))
    with seeded_init(1, "bit"):
        return small_bit(cluster, 5, n_queries=6, out_width=7)


@pytest.fixture
def path(bit: BrainInteractionTransformer, tmp_path: Path) -> Path:
    path = tmp_path / "bit.safetensors"
    save_bit(path, bit, subjects=SUBJECTS, kind="semantic", settings=SETTINGS, seed=3)
    return path


def test_round_trip_gives_the_same_model(path: Path, bit: BrainInteractionTransformer) -> None:
    loaded = load_bit(path)
    assert loaded.subjects == {"subj01": slice(0, 12), "subj05": slice(12, 30)}
    assert (loaded.kind, read_artifact(path, "bit", BitDecoder.contract).attributes["seed"]) == (
        "semantic",
        3,
    )
    betas = torch.randn(2, 18, generator=torch_generator(1, "betas"))
    voxels = loaded.subjects["subj05"]
    assert torch.equal(loaded.model(betas, voxels), bit(betas, voxels))


def test_same_model_gives_the_same_bytes(
    path: Path, bit: BrainInteractionTransformer, tmp_path: Path
) -> None:
    again = tmp_path / "again.safetensors"
    save_bit(again, bit, subjects=SUBJECTS, kind="semantic", settings=SETTINGS, seed=3)
    assert again.read_bytes() == path.read_bytes()


def test_other_settings_are_refused(path: Path) -> None:
    loaded = load_bit(path)
    require_same_sizes(path, loaded, SETTINGS, "semantic")
    for settings, kind in ((BitSettings(width=32, n_heads=2), "semantic"), (SETTINGS, "lowlevel")):
        with pytest.raises(PipelineError) as error:
            require_same_sizes(path, loaded, settings, kind)
        assert error.value.code == "wrong-settings" and error.value.where == str(path)
        assert kind in error.value.expected and str(settings.width) in error.value.expected


def test_saving_checks_voxels_and_settings(
    bit: BrainInteractionTransformer, tmp_path: Path
) -> None:
    target = tmp_path / "x.safetensors"
    with pytest.raises(PipelineError) as error:
        save_bit(target, bit, subjects={"subj01": 29}, kind="semantic", settings=SETTINGS, seed=0)
    assert error.value.code == "inconsistent-inputs" and "30 voxels" in error.value.expected
    with pytest.raises(PipelineError) as error:
        save_bit(target, bit, subjects=SUBJECTS, kind="semantic", settings=BitSettings(), seed=0)
    assert error.value.code == "wrong-settings"
    assert not target.exists()


def test_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(PipelineError) as error:
        load_bit(path)
    assert error.value.where == str(path)


def test_weights_that_do_not_fit_the_settings_are_refused(path: Path) -> None:
    artifact = read_artifact(path, "bit", BitDecoder.contract)
    attributes = {**artifact.attributes, "settings": {"width": 16, "n_heads": 2, "n_blocks": 2}}
    write_artifact(path, "bit", artifact.tensors, attributes, BitDecoder.contract)
    with pytest.raises(PipelineError) as error:
        load_bit(path)
    assert error.value.code == "inconsistent-inputs" and "blocks.1" in error.value.found


def test_subjects_that_do_not_fit_the_weights_are_refused(path: Path) -> None:
    artifact = read_artifact(path, "bit", BitDecoder.contract)
    attributes = {**artifact.attributes, "subjects": ["subj01"], "n_voxels": {"subj01": 12}}
    write_artifact(path, "bit", artifact.tensors, attributes, BitDecoder.contract)
    with pytest.raises(PipelineError) as error:
        load_bit(path)
    assert error.value.code == "inconsistent-inputs" and error.value.expected == "30 voxels"
