"""Transfer of a BIT to another subject on tiny data: trained weights, refused inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.tiny_examples import bit, fmri

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import LowlevelSettings, TransferSettings
from brainit.features.registry import load_backbone
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.stage1 import Stage1Task, adapt_bit
from brainit.training.targets import LowlevelTargets
from brainit.training.transfer import VOXEL_STATE, copy_shared, new_subject_bit


def nearest(n_base: int) -> Artifact:
    tensors = {
        "voxel_cluster": np.array([3, 0, 1, 2, 3, 0, 1, 2, 3]),
        "nearest_voxel": np.arange(9) % n_base,
    }
    return Artifact(tensors, {})


def test_transfer_trains_voxel_embeddings_alone(source: ExampleSource, images: BatchImages) -> None:
    targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    base = bit(targets.layout.n_tokens, targets.layout.width)
    model = new_subject_bit(base, nearest(21), Path("clusters"))
    assert torch.equal(model.voxel_embedding, base.voxel_embedding[:9])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    own = ExampleSource({"subj02": fmri("subj02", 4, 5)}, {}, {"subj02": slice(0, 9)})
    settings = LowlevelSettings(batch=4, voxels_per_example=6, queries_per_layer=(3, 3, 2, 2, 1))
    task = Stage1Task(model, own, None, targets, settings, 0, torch.device("cpu"))
    history = adapt_bit(task, model, TransferSettings(epochs=3))
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"voxel_embedding"}
    assert len(history) == 3
    assert history["val_loss"].isna().all()


def test_transfer_refuses_clusters_of_another_base() -> None:
    with pytest.raises(PipelineError) as error:
        new_subject_bit(bit(4, 8, n_voxels=5), nearest(9), Path("clusters"))
    assert error.value.code == "inconsistent-inputs"
    assert "5 voxels" in error.value.expected and "voxel 8" in error.value.found
    alone = Artifact({"voxel_cluster": np.zeros(9, dtype=np.int64)}, {})
    with pytest.raises(PipelineError) as error:
        new_subject_bit(bit(4, 8), alone, Path("clusters"))
    assert error.value.code == "missing-data" and "nearest_voxel" in error.value.expected


def test_shared_weights_are_copied_and_the_voxels_own_kept() -> None:
    base, model = bit(4, 8), bit(4, 8, n_voxels=9)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(1.0)
    own = {name: model.state_dict()[name].clone() for name in VOXEL_STATE}
    copy_shared(base, model, Path("base"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name] if name in own else base.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda base: base.head.register_parameter("bias", None), "head.bias"),
        (lambda base: base.register_buffer("other", torch.zeros(1)), "other"),
        (lambda base: setattr(base, "head", torch.nn.Linear(16, 5)), "head.weight"),
    ],
    ids=["missing", "unexpected", "other shape"],
)
def test_a_base_of_other_weights_is_refused(
    change: Callable[[torch.nn.Module], None], name: str
) -> None:
    base, model = bit(4, 8), bit(4, 8, n_voxels=9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    change(base)
    with pytest.raises(PipelineError) as error:
        copy_shared(base, model, Path("base.safetensors"))
    assert error.value.code == "inconsistent-inputs" and error.value.where == "base.safetensors"
    assert name in error.value.found
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
