"""A new subject: the procedure repeated with only its voxel embeddings trained (sections 5.3, D.4).

The new BIT shares all but the voxel embeddings with its base. Each new voxel starts with the
cluster and the embedding of its nearest base voxel (between the encoder's normalised embeddings).
"""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Stage1Settings, TransferSettings
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.joint import JointTask
from brainit.training.loop import LoopPlan, fit
from brainit.training.resume import Checkpointer
from brainit.training.stage1 import Stage1Task


def new_subject_bit(
    base: BrainInteractionTransformer, clusters: Artifact, path: Path
) -> BrainInteractionTransformer:
    """Return a BIT of the new subject's voxels, before any training on its data.

    `clusters` is the artifact of `assign_voxels` at `path`, with `nearest_voxel` into the base's
    voxels. Raises `PipelineError` where it was made for another base.
    """
    if "nearest_voxel" not in clusters.tensors:
        expected = "the clusters of a new subject, with 'nearest_voxel'"
        raise PipelineError(path, expected, "none", "rerun assign_voxels")
    nearest = torch.from_numpy(clusters["nearest_voxel"])
    if int(nearest.max()) >= len(base.voxel_embedding):
        expected = f"neighbours among the base's {len(base.voxel_embedding)} voxels"
        found = f"voxel {int(nearest.max())}"
        raise PipelineError(path, expected, found, "rerun assign_voxels with this base")
    model = BrainInteractionTransformer(
        voxel_cluster=torch.from_numpy(clusters["voxel_cluster"]),
        n_clusters=base.n_clusters,
        n_queries=base.n_queries,
        out_width=base.out_width,
        width=base.width,
        n_heads=base.n_heads,
        n_blocks=base.n_blocks,
    )
    copy_shared(base, model)
    with torch.no_grad():
        model.voxel_embedding.copy_(base.voxel_embedding[nearest])
    return model


def copy_shared(source: nn.Module, target: nn.Module) -> None:
    """Copy every parameter but those of the voxels."""
    own = {"voxel_embedding", "voxel_cluster"}
    state: dict[str, Tensor] = {k: v for k, v in source.state_dict().items() if k not in own}
    target.load_state_dict(state, strict=False)


def adapt_bit(
    task: Stage1Task,
    transfer: TransferSettings,
    settings: Stage1Settings,
    checkpoints: Checkpointer | None = None,
) -> pd.DataFrame:
    """Train the voxel embeddings of a BIT in stage 1; fixed epochs, no warm-up, last state kept."""
    plan = LoopPlan(
        epochs=transfer.epochs,
        lr=transfer.lr,
        weight_decay=settings.weight_decay,
        keep="last",
    )
    return _fit_voxels(task, plan, "adapt_bit", checkpoints)


def adapt_joint(
    task: JointTask, transfer: TransferSettings, checkpoints: Checkpointer | None = None
) -> pd.DataFrame:
    """Train the voxel embeddings with the diffusion loss; the generator is frozen."""
    plan = LoopPlan(
        epochs=transfer.joint_epochs,
        lr=transfer.joint_lr,
        accumulation=task.settings.accumulation,
        max_steps=transfer.joint_max_steps,
        optimizer=task.settings.optimizer,
        keep="last",
    )
    task.generator.requires_grad_(False)
    return _fit_voxels(task, plan, "adapt_joint", checkpoints)


def _fit_voxels(
    task: Stage1Task | JointTask, plan: LoopPlan, label: str, checkpoints: Checkpointer | None
) -> pd.DataFrame:
    trained = []
    for name, parameter in task.model.named_parameters():
        parameter.requires_grad_(name == "voxel_embedding")
        trained += [parameter] if parameter.requires_grad else []
    return fit(trained, task, plan, label, checkpoints)
