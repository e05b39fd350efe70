"""Input and output files of the trainings of stages 1 and 2; each class gives its step's flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, Stage1Settings
from brainit.core.shards import ShardedArray
from brainit.data.fmri import FmriPool, SubjectFmri, load_pool, load_subject_fmri
from brainit.data.images import ImageStore
from brainit.features.registry import weights_path
from brainit.models.subject_voxels import subject_slices
from brainit.training.examples import BatchImages, ExampleSource


@dataclass(frozen=True)
class PoolData:
    """Measured and predicted responses of a pool's subjects, and how much of each is used."""

    betas: Mapping[str, Path]
    """betas of each subject"""
    trials: Mapping[str, Path]
    """trial table of each subject"""
    duration: str
    """part of each subject's data: 15min, 30min, 450trials, 1h ... 40h"""
    synthetic: Mapping[str, Path] = field(default_factory=dict)
    """predicted fMRI of each subject: a folder"""

    def load(self, settings: Settings) -> FmriPool:
        """Read the measured responses."""
        return load_pool(self.betas, self.trials, settings.nsd, self.duration, settings.run.seed)


@dataclass(frozen=True)
class NewSubject:
    """Measured and predicted responses of a new subject, and how much of them is used."""

    subject: str
    """name of the subject, such as subj01"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    duration: str
    """part of its data: 15min, 30min, 450trials, 1h ... 40h"""
    synthetic: Path | None = None
    """its predicted fMRI: a folder"""

    def load(
        self, settings: Settings, splits: tuple[str, ...] = ("train", "val")
    ) -> tuple[ExampleSource, SubjectFmri]:
        """Return the trials of `splits` within the duration, one by one.

        They are mixed with predicted ones as set.
        """
        fmri = load_subject_fmri(
            self.subject, self.betas, self.trials, splits, self.duration, average=False
        )
        counts = {self.subject: fmri.n_voxels}
        source = ExampleSource(
            {self.subject: fmri},
            open_predicted({self.subject: self.synthetic} if self.synthetic else {}, counts),
            subject_slices(counts),
            settings.transfer.external_per_real,
        )
        return source, fmri


@dataclass(frozen=True)
class ImageFiles:
    """Image folders, and the folder of pretrained networks."""

    stimuli: Path
    """folder of the stimuli"""
    external: Path | None = None
    """folder of the external images"""
    weights: Path | None = None
    """folder of published weights"""

    def open(self, data: PoolData | NewSubject) -> BatchImages:
        """Open the image folders; external images only where there is predicted fMRI."""
        external = ImageStore(self.external) if self.external and data.synthetic else None
        return BatchImages(ImageStore(self.stimuli), external)

    def inputs(self, role: str, settings: Settings) -> dict[str, Any]:
        """Return the entries of these files in a training's digest, with the network of `role`."""
        network = weights_path(role, getattr(settings.features, role), self.weights)
        return {**vars(self), "weights": network}


@dataclass(frozen=True)
class TokenFiles:
    """Cached tokens of the semantic BIT; without them the network computes them."""

    tokens: Path | None = None
    """cached tokens of the stimuli"""
    external_tokens: Path | None = None
    """cached tokens of the external images"""

    def open(self) -> dict[bool, ShardedArray]:
        """Open the caches, by whether they are of external images."""
        paths = {False: self.tokens, True: self.external_tokens}
        return {key: ShardedArray(path) for key, path in paths.items() if path is not None}


@dataclass(frozen=True)
class BitOutput:
    """Where a trained decoder and its history go."""

    bit: Path
    """decoder to write"""
    history: Path
    """table of epochs to write"""


def open_predicted(
    folders: Mapping[str, Path], n_voxels: Mapping[str, int]
) -> dict[str, ShardedArray]:
    """Open predicted fMRI by subject.

    Raises `PipelineError` where a subject's voxels are not as many as in its betas.
    """
    opened = {subject: ShardedArray(path) for subject, path in folders.items()}
    for subject, shards in opened.items():
        if shards.row_shape != (n_voxels[subject],):
            raise PipelineError(
                shards.folder,
                f"{n_voxels[subject]} voxels of {subject}",
                f"rows of shape {shards.row_shape}",
                "rerun synthesize_fmri",
                code="inconsistent-inputs",
            )
    return opened


def pool_source(
    pool: FmriPool,
    synthetic: Mapping[str, Path],
    stage1: Stage1Settings,
    subjects_per_batch: int | None = None,
) -> tuple[ExampleSource, ExampleSource]:
    """Return training and validation examples of a pool, mixed as `stage1` says.

    A batch has about `subjects_per_batch` subjects at most; None does not limit them.
    """
    slices = pool.voxel_slices
    predicted = open_predicted(synthetic, pool.n_voxels)
    most = subjects_per_batch
    train = ExampleSource(pool.train, predicted, slices, stage1.external_per_real, most)
    return train, ExampleSource(pool.val, {}, slices, subjects_per_batch=most)
