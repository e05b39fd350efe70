"""Training of the universal voxel encoder, and its transfer to a new subject (arXiv 2406.12179).

All subjects train together on the examples of `encoder_examples`: Adam (amsgrad), the rate falls
tenfold when the 75th-percentile voxel correlation on validation images stops rising, the best epoch
is kept. A new subject has random voxel vectors, trained alone for a fixed number of epochs without
validation (paper 5.3, D.4).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.artifacts import write_table
from brainit.core.device import encoder_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import EncoderSettings, Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import FmriPool, SubjectFmri, load_pool, load_subject_fmri
from brainit.data.images import ImageStore, images_on
from brainit.features.registry import load_backbone, weights_path
from brainit.models.voxel_encoder import (
    VoxelEncoder,
    load_encoder,
    require_encoder_settings,
    save_encoder,
)
from brainit.training.encoder_examples import EncoderBatch, EncoderExamples
from brainit.training.loader import UNTHREADED, Loading, Slot, load, loading_of
from brainit.training.loop import LoopPlan, fit
from brainit.training.optimizers import Plateau
from brainit.training.resume import Checkpointer, EpochPosition, Work, resumable

logger = logging.getLogger(__name__)

SCORE_COLUMNS = ("val_median_r", "val_p75_r")

_PREDICTED_AT_ONCE = 64

_LEAST_FALL = 1.0e-8
"""Smallest change of the rate that torch's ReduceLROnPlateau makes."""


def voxel_correlation(
    predicted: Float[Tensor, "images voxels"], measured: Float[Tensor, "images voxels"]
) -> Float[Tensor, "voxels"]:
    """Return each voxel's Pearson correlation over images, in [-1, 1].

    A voxel that is constant on either side has correlation 0.
    """
    first = predicted - predicted.mean(dim=0)
    second = measured - measured.mean(dim=0)
    norms = first.norm(dim=0) * second.norm(dim=0)
    product = (first * second).sum(dim=0)
    return torch.where(norms > 0, product / norms.clamp_min(1e-12), torch.zeros_like(norms))


def encoder_loss(
    predicted: Float[Tensor, "batch sampled"],
    measured: Float[Tensor, "batch sampled"],
    kind: str,
) -> Float[Tensor, ""]:
    """Return the loss of one batch; cosines are taken across the sampled voxels of an image.

    `kind` "mse_minus_tenth_cosine" is MSE - 0.1 cos (released code), "tenth_mse_minus_cosine" is
    0.1 MSE - 0.9 cos (quoted from the encoder paper).
    """
    mse = torch.nn.functional.mse_loss(predicted, measured)
    cosine = torch.nn.functional.cosine_similarity(predicted, measured, dim=1).mean()
    if kind == "mse_minus_tenth_cosine":
        return mse - 0.1 * cosine
    return 0.1 * mse - 0.9 * cosine


@dataclass
class EncoderTask:
    """Loss of an encoder on batches of examples; validation on all voxels of held-out images.

    `validation` None is a transfer: no epoch is chosen.
    """

    encoder: VoxelEncoder
    examples: EncoderExamples
    validation: tuple[Mapping[str, SubjectFmri], ImageStore] | None
    loss_kind: str
    seed: int
    score_columns: tuple[str, ...] = SCORE_COLUMNS
    loading: Loading = UNTHREADED

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.encoder

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.examples.n_batches

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        return torch_generator(self.seed, *self._stream(epoch))

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        """Return the context that seeds the dropout of an epoch."""
        return seeded_init(self.seed, "dropout", *self._stream(epoch))

    def _stream(self, epoch: int) -> tuple[str | int, ...]:
        return ("encoder_epoch", *self.encoder.subjects, epoch + 1)

    def batches(self, position: EpochPosition) -> Iterator[EncoderBatch]:
        """Yield the batches of an epoch, from the position on."""
        self.encoder.train()
        self.encoder.backbone.eval()
        draws = self.examples.draws(position.generator, position)
        yield from load(draws, self.examples.read, self.loading, position)

    def loss(self, batch: EncoderBatch) -> Tensor:
        """Return the loss of one batch."""
        device = self.encoder.voxel_embedding.device
        index = batch.voxel_index.to(device, non_blocking=True)
        measured = batch.measured.to(device, non_blocking=True).float()
        predicted = self.encoder(self.examples.shown(batch, device), index)
        return encoder_loss(predicted, measured, self.loss_kind)

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        """Return the mean training loss; raises `PipelineError` where it is not finite."""
        mean = float(torch.stack(list(losses)).mean())
        if not np.isfinite(mean):
            raise PipelineError(
                "encoder training",
                "a finite loss",
                f"{mean} in epoch {epoch}",
                "set encoder.lr to a tenth",
                code="not-converged",
            )
        return mean

    def validate(self) -> tuple[float, float] | None:
        """Return median and 75th percentile of the voxels' correlations."""
        if self.validation is None:
            return None
        return validate(self.encoder, *self.validation, self.loading)


def train_encoder(
    pool: FmriPool,
    images: ImageStore,
    backbone: nn.Module,
    settings: Settings,
    device: torch.device,
    checkpoints: Checkpointer | None = None,
    loading: Loading = UNTHREADED,
) -> tuple[VoxelEncoder, pd.DataFrame]:
    """Train an encoder of the pool's subjects; return its best epoch and the history.

    `images` are the stimuli by nsd_id. The history has a row per epoch. Raises `PipelineError`
    where the loss is not finite, and `Interrupted` after a signal.
    """
    options, seed = settings.encoder, settings.run.seed
    with seeded_init(seed, "voxel_encoder", *pool.subjects):
        encoder = VoxelEncoder(backbone, options, pool.n_voxels).to(device)
    encoder.use_precision(encoder_precision(settings, device))
    examples = _examples(encoder, list(pool.train.values()), images, options)
    validation = (pool.val, images)
    task = EncoderTask(encoder, examples, validation, options.loss, seed, loading=loading)
    # The rate falls by repeated products from `lr` itself, which round as in torch's scheduler.
    plateau = Plateau(options.plateau_patience, options.plateau_threshold, options.lr, _LEAST_FALL)
    plan = LoopPlan(
        epochs=options.epochs, lr=1.0, plateau=plateau, best="highest", optimizer="adam_amsgrad"
    )
    history = fit(_trained(encoder), task, plan, label="encoder", checkpoints=checkpoints)
    return encoder.eval(), history


def adapt_encoder(
    base: VoxelEncoder,
    fmri: SubjectFmri,
    images: ImageStore,
    settings: Settings,
    device: torch.device,
    checkpoints: Checkpointer | None = None,
    loading: Loading = UNTHREADED,
) -> tuple[VoxelEncoder, pd.DataFrame]:
    """Train voxel vectors of one new subject on a frozen base; return the last epoch.

    The encoder returned has that subject alone. No epoch is chosen, so `fmri` may include the
    validation trials, as in the transfer of a BIT; the history's validation columns are empty.
    """
    options, seed = settings.encoder, settings.run.seed
    with seeded_init(seed, "voxel_encoder", fmri.subject):
        encoder = VoxelEncoder(base.backbone, base.settings, {fmri.subject: fmri.n_voxels})
    shared = {n: t for n, t in base.own_state().items() if n != "voxel_embedding"}
    encoder.load_own_state({**shared, "voxel_embedding": encoder.voxel_embedding.detach()})
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name == "voxel_embedding")
    encoder.to(device).use_precision(encoder_precision(settings, device))
    examples = _examples(encoder, [fmri], images, options)
    task = EncoderTask(encoder, examples, None, options.loss, seed, loading=loading)
    plan = LoopPlan(
        epochs=options.transfer_epochs, lr=options.lr, keep="last", optimizer="adam_amsgrad"
    )
    history = fit(_trained(encoder), task, plan, label="encoder", checkpoints=checkpoints)
    return encoder.eval(), history


@torch.no_grad()
def validate(
    encoder: VoxelEncoder,
    fmri: Mapping[str, SubjectFmri],
    images: ImageStore,
    loading: Loading = UNTHREADED,
) -> tuple[float, float]:
    """Return median and 75th percentile of the voxels' correlations over all subjects."""
    encoder.eval()
    device = encoder.voxel_embedding.device
    correlations: list[Tensor] = []
    for subject, examples in fmri.items():
        hoisted = encoder.hoist(encoder.voxel_slice(subject))
        ranges = shard_ranges(len(examples.nsd_id), _PREDICTED_AT_ONCE)
        index = (examples.nsd_id[start:stop] for start, stop in ranges)
        blocks = load(index, partial(_pixels, images), loading)
        shown = (images_on(block, device) for block in blocks)
        predicted = torch.cat([encoder.predict(block, hoisted) for block in shown])
        measured = torch.from_numpy(examples.betas).to(device).float()
        correlations.append(voxel_correlation(predicted, measured))
    correlation = torch.cat(correlations).double().cpu().numpy()
    median, upper = np.percentile(correlation, [50, 75])
    return float(median), float(upper)


def _pixels(images: ImageStore, index: NDArray[np.int64], slot: Slot) -> Tensor:
    side = images.image_size
    out = slot.empty("pixels", (len(index), side, side, 3), torch.uint8)
    images.pixels_into(index, out.numpy(), np.arange(len(index)))
    return out


def _examples(
    encoder: VoxelEncoder, fmri: list[SubjectFmri], images: ImageStore, options: EncoderSettings
) -> EncoderExamples:
    first = {subject: encoder.voxel_slice(subject).start for subject in encoder.subjects}
    examples = EncoderExamples(fmri, first, images, int(encoder.backbone.image_size), options)
    if examples.n_sampled < options.voxels_per_example:
        logger.info("%d voxels per example: all voxels of the smallest subject", examples.n_sampled)
    return examples


def _trained(encoder: VoxelEncoder) -> list[nn.Parameter]:
    return [parameter for parameter in encoder.parameters() if parameter.requires_grad]


@dataclass(frozen=True)
class EncoderInputs:
    """Training data of a pool's encoder."""

    betas: Mapping[str, Path]
    """betas of each subject"""
    trials: Mapping[str, Path]
    """trial table of each subject"""
    stimuli: Path
    """folder of the stimuli"""
    pool: str
    """name of the pool, kept in the file"""
    duration: str = "40h"
    """part of each subject's data: 15min, 30min, 450trials, 1h ... 40h"""
    weights: Path | None = None
    """folder of published weights"""


@dataclass(frozen=True)
class EncoderOutput:
    """Where an encoder and its history go."""

    encoder: Path
    """encoder to write"""
    history: Path
    """table of epochs to write"""


def run_encoder(
    inputs: EncoderInputs, settings: Settings, out: EncoderOutput, work: Work | None = None
) -> None:
    """Train the encoder of a pool and write it; `work` None keeps no checkpoints."""
    pool = load_pool(inputs.betas, inputs.trials, settings.nsd, inputs.duration, settings.run.seed)
    name, device = settings.features.encoder_backbone, run_device(settings)
    backbone = load_backbone("encoder_backbone", name, inputs.weights)
    weights = weights_path("encoder_backbone", name, inputs.weights)
    with resumable(
        work, settings, {**vars(inputs), "weights": weights}, out.history
    ) as checkpoints:
        images = ImageStore(inputs.stimuli)
        encoder, history = train_encoder(
            pool, images, backbone, settings, device, checkpoints, loading_of(work, device)
        )
        _write(out, encoder, history, settings, inputs.pool)


@dataclass(frozen=True)
class AdaptEncoderInputs:
    """A new subject's data, and the encoder that its encoder shares its weights with."""

    subject: str
    """name of the subject, such as subj01"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    stimuli: Path
    """folder of the stimuli"""
    duration: str
    """part of its data: 15min, 30min, 450trials, 1h ... 40h"""
    base: Path
    """encoder of the other subjects"""
    weights: Path | None = None
    """folder of published weights"""


def run_adapt_encoder(
    inputs: AdaptEncoderInputs, settings: Settings, out: EncoderOutput, work: Work | None = None
) -> None:
    """Train a new subject's voxel vectors and write its encoder; see `adapt_encoder`."""
    base = load_encoder(inputs.base, settings.features, inputs.weights)
    require_encoder_settings(inputs.base, base, settings.encoder)
    splits = ("train", "val")
    fmri = load_subject_fmri(
        inputs.subject, inputs.betas, inputs.trials, splits, inputs.duration, average=False
    )
    name, device = settings.features.encoder_backbone, run_device(settings)
    weights = weights_path("encoder_backbone", name, inputs.weights)
    with resumable(
        work, settings, {**vars(inputs), "weights": weights}, out.history
    ) as checkpoints:
        images = ImageStore(inputs.stimuli)
        encoder, history = adapt_encoder(
            base, fmri, images, settings, device, checkpoints, loading_of(work, device)
        )
        _write(out, encoder, history, settings, f"{inputs.subject}_{inputs.duration}")


def _write(
    out: EncoderOutput,
    encoder: VoxelEncoder,
    history: pd.DataFrame,
    settings: Settings,
    pool: str,
) -> None:
    save_encoder(
        out.encoder,
        encoder,
        settings=settings.encoder,
        backbone_name=settings.features.encoder_backbone,
        pool=pool,
        seed=settings.run.seed,
    )
    write_table(out.history, history)
