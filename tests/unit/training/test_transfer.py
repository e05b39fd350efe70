"""Transfer of a BIT to another subject on tiny data: what it trains, what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.tiny_examples import bit, fmri

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import LowlevelSettings, TransferSettings
from brainit.features.registry import load_backbone
from brainit.training.examples import ExampleSource
from brainit.training.stage1 import (
    Stage1Task,
)
from brainit.training.targets import BatchImages, LowlevelTargets
from brainit.training.transfer import adapt_bit, new_subject_bit


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
    history = adapt_bit(task, TransferSettings(epochs=3), settings)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"voxel_embedding"}
    assert len(history) == 3
    assert history["val_loss"].isna().all()


def test_transfer_refuses_clusters_of_another_base() -> None:
    with pytest.raises(PipelineError, match="neighbours among the base's 5 voxels"):
        new_subject_bit(bit(4, 8, n_voxels=5), nearest(9), Path("clusters"))
    alone = Artifact({"voxel_cluster": np.zeros(9, dtype=np.int64)}, {})
    with pytest.raises(PipelineError, match="nearest_voxel"):
        new_subject_bit(bit(4, 8), alone, Path("clusters"))
