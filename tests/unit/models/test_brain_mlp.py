"""The MLP of Table T5: its equation in plain loops, its file, and the inputs that both refuse."""

import math
from pathlib import Path

import pytest
import torch

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init, torch_generator
from brainit.models.brain_decoder import SubjectBatch
from brainit.models.brain_mlp import BrainMlp, MlpDecoder
from brainit.models.brain_transformer import load_bit
from brainit.models.subject_voxels import subject_slices
from brainit.models.token_calibration import TokenCalibration

SUBJECTS = {"subj01": 3, "subj05": 4}
SECOND = slice(3, 7)


@pytest.fixture
def mlp() -> BrainMlp:
    with seeded_init(1, "mlp"):
        return BrainMlp(n_voxels=7, hidden=5, n_queries=3, out_width=2)


@torch.no_grad()
def test_features_are_two_layers_over_the_subjects_own_voxels(mlp: BrainMlp) -> None:
    mlp.voxel_bias.data = torch.linspace(-1, 1, 5)
    betas = torch.randn(2, 4, generator=torch_generator(1, "betas"))
    keep = torch.tensor([[True, False, True, True], [True, True, True, False]])
    group = SubjectBatch(betas, SECOND, keep)
    query_index = torch.tensor([[2, 0], [1, 1]])
    found = mlp.decode(mlp.tokenize_mixed([group]), query_index)
    for row in range(2):
        hidden = []
        for unit in range(5):
            total = float(mlp.voxel_bias[unit])
            for voxel in range(4):
                if keep[row, voxel]:
                    total += float(betas[row, voxel] * mlp.voxel_weight[3 + voxel, unit])
            hidden.append(total / 2 * (1 + math.erf(total / math.sqrt(2))))
        for place, query in enumerate(query_index[row].tolist()):
            for out in range(2):
                value = float(mlp.head.bias[2 * query + out])
                value += sum(
                    hidden[unit] * float(mlp.head.weight[2 * query + out, unit])
                    for unit in range(5)
                )
                assert found[row, place, out].item() == pytest.approx(value, abs=1e-5)


def test_groups_are_decoded_as_each_alone(mlp: BrainMlp) -> None:
    one, two = torch.ones(2, 3), torch.full((1, 4), 0.5)
    both = mlp.tokenize_mixed([SubjectBatch(one, slice(0, 3)), SubjectBatch(two, SECOND)])
    alone = torch.cat([mlp(one, slice(0, 3)), mlp(two, SECOND)])
    torch.testing.assert_close(mlp.decode(both), alone)


def test_betas_of_other_voxels_are_refused(mlp: BrainMlp) -> None:
    with pytest.raises(PipelineError) as error:
        mlp(torch.ones(1, 3), SECOND)
    assert error.value.code == "inconsistent-inputs"
    assert (error.value.expected, error.value.found) == ("4 voxels", "3")


def test_file_gives_the_same_model(mlp: BrainMlp, tmp_path: Path) -> None:
    path = tmp_path / "bit.safetensors"
    weight = 2 * torch.eye(2).expand(2, 2, 2)
    calibration = TokenCalibration(weight, torch.ones(2, 2), torch.tensor([2, 1]))
    MlpDecoder(mlp, subject_slices(SUBJECTS), calibration).save(path, 3)
    loaded = MlpDecoder.load(path)
    assert loaded.subjects == {"subj01": slice(0, 3), "subj05": SECOND}
    betas = torch.ones(2, 4)
    assert torch.equal(loaded.model(betas, SECOND), mlp(betas, SECOND))
    assert loaded.calibration is not None
    assert torch.equal(loaded.calibration.weight, weight)


def test_foreign_and_damaged_files_are_refused(mlp: BrainMlp, tmp_path: Path) -> None:
    path = tmp_path / "bit.safetensors"
    MlpDecoder(mlp, subject_slices(SUBJECTS)).save(path, 3)
    with pytest.raises(PipelineError) as error:
        load_bit(path)
    assert "'bit'" in error.value.expected and "'mlp'" in error.value.found
    found = read_artifact(path, "mlp", MlpDecoder.contract)
    kept = {name: found[name] for name in found.tensors if name != "head.bias"}
    write_artifact(path, "mlp", kept, found.attributes, MlpDecoder.contract)
    with pytest.raises(PipelineError) as error:
        MlpDecoder.load(path)
    assert error.value.code == "inconsistent-inputs" and "head.bias" in error.value.found
