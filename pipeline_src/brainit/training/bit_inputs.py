"""What the steps that train BITs read: responses, predicted responses, images, networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brainit.core.artifacts import Artifact
from brainit.core.device import frozen_precision
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import Settings, Stage1Settings
from brainit.core.shards import ShardedArray
from brainit.data.fmri import FmriPool, SubjectFmri, load_subject_fmri
from brainit.data.images import ImageStore
from brainit.features.registry import load_backbone, weights_path
from brainit.models.brain_mlp import BrainMlp
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.subject_voxels import require_same_subjects, subject_slices
from brainit.training.examples import ExampleSource
from brainit.training.targets import BatchImages, LowlevelTargets, SemanticTargets

TARGET_ROLES = {"lowlevel": "vgg", "semantic": "semantic_tokens"}
"""Role of the network whose features a BIT of each kind predicts."""


@dataclass(frozen=True)
class TrainingFiles:
    """Files of a step: image folders, cached tokens (real, external), predicted fMRI by subject."""

    stimuli: Path
    external: Path | None
    synthetic: Mapping[str, Path]
    tokens: Path | None = None
    external_tokens: Path | None = None
    weights: Path | None = None

    def images(self) -> BatchImages:
        """Open the image folders; external images only where predicted fMRI is given."""
        external = ImageStore(self.external) if self.external and self.synthetic else None
        return BatchImages(ImageStore(self.stimuli), external)

    def inputs(self, role: str, settings: Settings) -> dict[str, Any]:
        """Return what these files add to a training's digest, the network of `role` included."""
        network = weights_path(role, getattr(settings.features, role), self.weights)
        return {**vars(self), "weights": network}

    def predicted(self, n_voxels: Mapping[str, int]) -> dict[str, ShardedArray]:
        """Open the predicted fMRI; raises `PipelineError` where its voxels are not the betas'."""
        opened = {subject: ShardedArray(path) for subject, path in self.synthetic.items()}
        for subject, shards in opened.items():
            if shards.row_shape != (n_voxels[subject],):
                expected = f"{n_voxels[subject]} voxels of {subject}"
                found = f"rows of shape {shards.row_shape}"
                raise PipelineError(shards.folder, expected, found, "rerun synthesize_fmri")
        return opened


def targets_of(
    kind: str, files: TrainingFiles, settings: Settings, device: torch.device
) -> SemanticTargets | LowlevelTargets:
    """Return what a BIT of this kind is to predict."""
    images = files.images()
    if kind == "lowlevel":
        network = load_backbone("vgg", settings.features.vgg, files.weights)
        return LowlevelTargets(images, network.to(device))
    name = settings.features.semantic_tokens
    tower: Any = load_backbone("semantic_tokens", name, files.weights)
    tower.halve_contrast = settings.features.halve_contrast
    tower.use_precision(frozen_precision(settings, device))
    cached = {False: files.tokens, True: files.external_tokens}
    shards = {key: ShardedArray(path) for key, path in cached.items() if path is not None}
    return SemanticTargets(images, tower.to(device), shards)


def pool_source(
    pool: FmriPool, files: TrainingFiles, stage1: Stage1Settings
) -> tuple[ExampleSource, ExampleSource]:
    """Return training and validation examples of a pool, mixed as `stage1` says."""
    predicted = files.predicted(pool.n_voxels)
    slices = pool.voxel_slices
    train = ExampleSource(pool.train, predicted, slices, stage1.external_per_real)
    return train, ExampleSource(pool.val, {}, slices)


def new_subject_source(
    subject: str, betas: Path, trials: Path, duration: str, files: TrainingFiles, settings: Settings
) -> tuple[ExampleSource, SubjectFmri]:
    """Return all of a new subject's trials within the duration (single trials), mixed as set."""
    fmri = load_subject_fmri(subject, betas, trials, ("train", "val"), duration, average=False)
    counts = {subject: fmri.n_voxels}
    source = ExampleSource(
        {subject: fmri},
        files.predicted(counts),
        subject_slices(counts),
        settings.transfer.external_per_real,
    )
    return source, fmri


def new_bit(
    clusters: Artifact,
    path: Path,
    pool: FmriPool,
    targets: SemanticTargets | LowlevelTargets,
    settings: Settings,
    kind: str,
) -> BrainInteractionTransformer | BrainMlp:
    """Return an untrained BIT over the V2C map at `path`, or the MLP that T5 has in its place.

    Raises `PipelineError` where the map is of another set of subjects or voxels than the betas.
    """
    require_same_subjects(path, clusters.attributes, pool.n_voxels)
    if isinstance(targets, SemanticTargets):
        network = targets.network
        n_queries, out_width = int(network.n_tokens), int(network.width)  # type: ignore[arg-type]
    else:
        n_queries, out_width = targets.layout.n_tokens, targets.layout.width
    lowlevel = settings.bit_lowlevel
    with seeded_init(settings.run.seed, "bit", kind):
        if kind == "lowlevel" and lowlevel.decoder == "mlp":
            return BrainMlp(
                n_voxels=len(clusters["voxel_cluster"]),
                hidden=lowlevel.mlp_width,
                n_queries=n_queries,
                out_width=out_width,
            )
        return BrainInteractionTransformer(
            voxel_cluster=torch.from_numpy(clusters["voxel_cluster"]),
            n_clusters=int(clusters.attributes["n_clusters"]),
            n_queries=n_queries,
            out_width=out_width,
            width=settings.bit.width,
            n_heads=settings.bit.n_heads,
            n_blocks=settings.bit.n_blocks,
        )


def stage1_settings(settings: Settings, kind: str) -> Stage1Settings:
    """Return the stage-1 settings of a BIT of this kind."""
    return settings.bit_lowlevel if kind == "lowlevel" else settings.bit_semantic
