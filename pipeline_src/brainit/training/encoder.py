"""Training of the universal voxel encoder, and its transfer to a new subject (arXiv 2406.12179).

All subjects together: Adam (amsgrad), rate falling tenfold when the 75th-percentile voxel
correlation on validation images stops rising, best epoch kept. A new subject has random voxel
vectors, trained alone for a fixed number of epochs without validation (paper 5.3, D.4).
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from brainit.core.device import encoder_precision
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import EncoderSettings, Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import FmriPool, SubjectFmri
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.encoder_examples import EncoderExamples
from brainit.training.positions import EpochPosition
from brainit.training.resume import Checkpointer
from brainit.training.states import EncoderState
from brainit.training.voxel_score import encoder_loss, voxel_correlation

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ("epoch", "train_loss", "val_median_r", "val_p75_r", "lr")

_PREDICTED_AT_ONCE = 64


def train_encoder(
    pool: FmriPool,
    images: ImageStore,
    backbone: nn.Module,
    settings: Settings,
    device: torch.device,
    checkpoints: Checkpointer | None = None,
) -> tuple[VoxelEncoder, pd.DataFrame]:
    """Train an encoder of the pool's subjects; return its best epoch, and a row per epoch.

    `images` are the stimuli by nsd_id. The history's columns are `HISTORY_COLUMNS`. Raises
    `PipelineError` where the loss is not finite, and `Interrupted` after a signal.
    """
    options, seed = settings.encoder, settings.run.seed
    with seeded_init(seed, "voxel_encoder", *pool.subjects):
        encoder = VoxelEncoder(backbone, options, pool.n_voxels).to(device)
    encoder.use_precision(encoder_precision(settings, device))
    examples = _examples(encoder, list(pool.train.values()), images, options)
    optimizer = _optimizer(encoder, options.lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=0.1,
        patience=options.plateau_patience,
        threshold=options.plateau_threshold,
        threshold_mode="abs",
    )
    state = EncoderState(encoder, optimizer, plateau)
    _run_epochs(state, options.epochs, examples, settings, checkpoints, (pool.val, images))
    if state.best_state:
        encoder.load_own_state(state.best_state)
    return encoder.eval(), pd.DataFrame(state.rows, columns=list(HISTORY_COLUMNS))


def adapt_encoder(
    base: VoxelEncoder,
    fmri: SubjectFmri,
    images: ImageStore,
    settings: Settings,
    device: torch.device,
    checkpoints: Checkpointer | None = None,
) -> tuple[VoxelEncoder, pd.DataFrame]:
    """Train voxel vectors of one new subject on a frozen base; return the last epoch.

    The encoder returned has that subject alone. No epoch is chosen: `fmri` may hold the validation
    trials too, as it does in the transfer of a BIT, and the history's validation columns are empty.
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
    state = EncoderState(encoder, _optimizer(encoder, options.lr))
    _run_epochs(state, options.transfer_epochs, examples, settings, checkpoints, None)
    return encoder.eval(), pd.DataFrame(state.rows, columns=list(HISTORY_COLUMNS))


@torch.no_grad()
def validate(
    encoder: VoxelEncoder, fmri: Mapping[str, SubjectFmri], images: ImageStore
) -> tuple[float, float]:
    """Return median and 75th percentile of the voxels' correlations over all subjects."""
    encoder.eval()
    device = encoder.voxel_embedding.device
    found: list[Tensor] = []
    for subject, examples in fmri.items():
        hoisted = encoder.hoist(encoder.voxel_slice(subject))
        ranges = shard_ranges(len(examples.nsd_id), _PREDICTED_AT_ONCE)
        blocks = [images.images(examples.nsd_id[start:stop]).to(device) for start, stop in ranges]
        predicted = torch.cat([encoder.predict(block, hoisted) for block in blocks])
        measured = torch.from_numpy(examples.betas.astype(np.float32)).to(device)
        found.append(voxel_correlation(predicted, measured))
    correlation = torch.cat(found).double().cpu().numpy()
    median, upper = np.percentile(correlation, [50, 75])
    return float(median), float(upper)


def _examples(
    encoder: VoxelEncoder, fmri: list[SubjectFmri], images: ImageStore, options: EncoderSettings
) -> EncoderExamples:
    first = {subject: encoder.voxel_slice(subject).start for subject in encoder.subjects}
    examples = EncoderExamples(fmri, first, images, int(encoder.backbone.image_size), options)
    if examples.n_sampled < options.voxels_per_example:
        logger.info("%d voxels per example: all of the smallest subject", examples.n_sampled)
    return examples


def _optimizer(encoder: VoxelEncoder, rate: float) -> torch.optim.Optimizer:
    trained = [p for p in encoder.parameters() if p.requires_grad]
    return torch.optim.Adam(trained, lr=rate, amsgrad=True, fused=True)


def _run_epochs(
    state: EncoderState,
    n_epochs: int,
    examples: EncoderExamples,
    settings: Settings,
    checkpoints: Checkpointer | None,
    validation: tuple[Mapping[str, SubjectFmri], ImageStore] | None,
) -> None:
    """Train until `n_epochs` are finished, from the newest checkpoint on."""
    keeper = checkpoints or Checkpointer()
    with keeper.watching() as found:
        generators = state.restore(found) if found else {}
        if found:
            logger.info("continues in epoch %d, batch %d", state.epoch + 1, len(state.losses) + 1)
        while state.epoch < n_epochs:
            rate = float(state.optimizer.param_groups[0]["lr"])
            loss = _run_epoch(state, examples, settings, keeper, generators)
            median = upper = float("nan")
            if validation is not None:
                median, upper = validate(state.encoder, *validation)
            epoch = state.end_epoch(loss, median, upper, rate)
            logger.info("epoch %d: loss %.4f, median r %.4f, p75 %.4f", epoch, loss, median, upper)
            generators = {}
            keeper.after_epoch(partial(state.checkpoint, None))


def _run_epoch(
    state: EncoderState,
    examples: EncoderExamples,
    settings: Settings,
    keeper: Checkpointer,
    generators: Mapping[str, Tensor],
) -> float:
    """Train on every example once, from where the state stands; return the mean loss."""
    encoder, optimizer, epoch = state.encoder, state.optimizer, state.epoch + 1
    encoder.train()
    encoder.backbone.eval()
    names: tuple[Any, ...] = ("encoder_epoch", *encoder.subjects, epoch)
    generator = torch_generator(settings.run.seed, *names)
    position = EpochPosition(generator, len(state.losses), generators)
    device, label = encoder.voxel_embedding.device, f"encoder epoch {epoch}"
    with seeded_init(settings.run.seed, "dropout", *names):
        batches = examples.epoch(generator, position)
        n_left = examples.n_batches - position.n_done
        for batch in progress(batches, label, n_left, "batch"):
            predicted = encoder(batch.images.to(device), batch.voxel_index.to(device))
            loss = encoder_loss(predicted, batch.measured.to(device), settings.encoder.loss)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            state.losses.append(loss.detach())
            keeper.after_step(partial(state.checkpoint, position))
    mean = float(torch.stack(state.losses).mean())
    if not np.isfinite(mean):
        raise PipelineError(
            "encoder training", "a finite loss", f"{mean} in epoch {epoch}", "lower encoder.lr"
        )
    return mean
