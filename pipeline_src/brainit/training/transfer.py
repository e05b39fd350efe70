"""A new subject: only its voxel embeddings are trained (sections 5.3, D.4).

The new BIT shares every other weight with its base. Each new voxel starts with the cluster and the
embedding of its nearest base voxel (between the encoder's normalised embeddings).
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.loop import LoopPlan, Task, fit
from brainit.training.resume import Checkpointer

VOXEL_STATE = frozenset({"voxel_embedding", "voxel_cluster"})
"""The state of a BIT that belongs to its own voxels."""


def new_subject_bit(
    base: BrainInteractionTransformer, clusters: Artifact, path: Path
) -> BrainInteractionTransformer:
    """Return a BIT of the new subject's voxels, before any training on its data.

    `clusters` is the artifact of `assign_voxels` at `path`; its `nearest_voxel` counts the base's
    voxels. Raises `PipelineError` where it was made for another base.
    """
    if "nearest_voxel" not in clusters.tensors:
        raise PipelineError(
            path,
            "the clusters of a new subject, with 'nearest_voxel'",
            f"only {sorted(clusters.tensors)}",
            "rerun assign_voxels",
            code="missing-data",
        )
    nearest = torch.from_numpy(clusters["nearest_voxel"])
    if int(nearest.max()) >= len(base.voxel_embedding):
        raise PipelineError(
            path,
            f"nearest voxels among the base's {len(base.voxel_embedding)} voxels",
            f"voxel {int(nearest.max())}",
            "rerun assign_voxels with this base",
            code="inconsistent-inputs",
        )
    model = BrainInteractionTransformer(
        voxel_cluster=torch.from_numpy(clusters["voxel_cluster"]),
        n_clusters=base.n_clusters,
        n_queries=base.n_queries,
        out_width=base.out_width,
        width=base.width,
        n_heads=base.n_heads,
        n_blocks=base.n_blocks,
        has_projector=base.projector is not None,
    )
    copy_shared(base, model, path)
    with torch.no_grad():
        model.voxel_embedding.copy_(base.voxel_embedding[nearest])
    return model


def copy_shared(source: nn.Module, target: nn.Module, path: Path) -> None:
    """Copy every weight except those of the voxels; `path` is the file of `source`.

    Raises `PipelineError` where the two differ in any other name or shape.
    """
    shared = {k: v for k, v in source.state_dict().items() if k not in VOXEL_STATE}
    shapes = {k: v.shape for k, v in target.state_dict().items() if k not in VOXEL_STATE}
    differing = {
        name for name in shared.keys() & shapes.keys() if shared[name].shape != shapes[name]
    }
    faults = sorted((shared.keys() ^ shapes.keys()) | differing)
    if faults:
        raise PipelineError(
            path,
            f"the {len(shapes)} shared weights of the new subject's BIT",
            f"other names or shapes: {', '.join(faults)}",
            "adapt a BIT of the same settings `bit` and the same networks in `features`",
            code="inconsistent-inputs",
        )
    target.load_state_dict(shared, strict=False)  # only the voxels' own state is missing


def fit_voxel_embeddings(
    model: BrainInteractionTransformer,
    task: Task,
    plan: LoopPlan,
    label: str,
    checkpoints: Checkpointer | None,
) -> pd.DataFrame:
    """Train the voxel embeddings alone, keep the last state, and return the history."""
    trained = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "voxel_embedding")
        trained += [parameter] if parameter.requires_grad else []
    return fit(trained, task, replace(plan, keep="last"), label=label, checkpoints=checkpoints)
