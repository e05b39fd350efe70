"""Stage 1: the low-level BIT by InfoNCE per VGG layer, the semantic BIT by L2 (3.2, D.1, D.2).

A new subject's stage 1 trains its voxel embeddings alone (5.3, D.4).

Differs from the paper: on a GPU the forward pass runs in bfloat16 instead of float16. A contrastive
term beside L2 (`bit_semantic.contrastive_weight`) is a switch, off by default.
"""

import logging
import math
from collections.abc import Iterator, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from brainit.core.artifacts import read_artifact, write_table
from brainit.core.device import run_device
from brainit.core.seeds import torch_generator
from brainit.core.settings import (
    LowlevelSettings,
    SemanticSettings,
    Settings,
    Stage1Settings,
    TransferSettings,
)
from brainit.models.brain_decoder import DecoderSpec, TokenNetwork
from brainit.models.brain_transformer import (
    BitDecoder,
    BrainInteractionTransformer,
    load_bit,
    require_same_sizes,
)
from brainit.models.decoders import new_decoder
from brainit.models.subject_voxels import require_same_subjects, subject_slices
from brainit.models.token_calibration import Calibration
from brainit.training.calibration import CalibrationTask, fit_calibration
from brainit.training.contrast import contrastive_loss, image_shares, require_projector
from brainit.training.embedding_states import states_of
from brainit.training.examples import DrawnExamples, ExampleBatch, ExampleSource, VoxelDropout
from brainit.training.inputs import (
    BitOutput,
    ImageFiles,
    NewSubject,
    PoolData,
    TokenFiles,
    pool_source,
)
from brainit.training.loader import UNTHREADED, Loading, Slot, load, loading_of
from brainit.training.loop import LoopPlan, fit, half_on_gpu, mean_in_order, validation_loss
from brainit.training.losses import token_loss
from brainit.training.optimizers import Plateau
from brainit.training.resume import Checkpointer, EpochPosition, Work, resumable
from brainit.training.targets import (
    TARGET_ROLES,
    LowlevelTargets,
    SemanticTargets,
    highest,
    targets_of,
)
from brainit.training.transfer import fit_voxel_embeddings, new_subject_bit

logger = logging.getLogger(__name__)

Kind = Literal["lowlevel", "semantic"]


@dataclass(frozen=True)
class Stage1Batch(Sized):
    """Examples, and the token positions drawn per VGG layer, or among all semantic tokens.

    `positions` None: all tokens are predicted. `rows` are what the targets have read; None: nothing
    yet.
    """

    examples: ExampleBatch
    positions: list[Int[Tensor, "batch _queries"]] | None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Stage1Draws:
    """Examples drawn for a batch, and the scores whose highest choose the positions of tokens.

    `dropout` is the one of the examples; `scores` None: all tokens are predicted.
    """

    examples: DrawnExamples
    dropout: VoxelDropout | None
    scores: list[Float[Tensor, "batch _tokens"]] | None


@dataclass
class Stage1Task:
    """Losses of a BIT on batches of a source; validation on real examples with all voxels."""

    model: TokenNetwork
    train: ExampleSource
    validation: ExampleSource | None
    targets: SemanticTargets | LowlevelTargets
    settings: Stage1Settings
    seed: int
    device: torch.device
    score_columns: tuple[str, ...] = ("val_loss",)
    loading: Loading = UNTHREADED

    @property
    def network(self) -> TokenNetwork:
        """The network that is trained."""
        return self.model

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.train.n_batches(self.settings.batch)

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        return torch_generator(self.seed, "stage1", "epoch", epoch)

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        """Return a context that does nothing: no layer drops units."""
        return nullcontext()

    def batches(self, position: EpochPosition) -> Iterator[Stage1Batch]:
        """Yield the batches of an epoch, from the position on."""
        self.model.train()
        dropout = VoxelDropout(self.settings.voxels_per_example, self.settings.voxel_sampling)
        size, draws = self.settings.batch, position.generator
        drawn = (
            self.drawn(examples, draws, dropout)
            for examples in self.train.draws(size, draws, dropout, position)
        )
        read = partial(self.read, self.train)
        yield from load(drawn, read, self.loading, position)

    def drawn(
        self, examples: DrawnExamples, draws: torch.Generator, dropout: VoxelDropout | None = None
    ) -> Stage1Draws:
        """Draw the positions of tokens for examples that were drawn with this dropout."""
        counts = self._counts()
        scores = None
        if counts is not None:
            scores = [torch.rand(len(examples), n, generator=draws) for n in counts[0]]
            if self._contrast is not None:  # features of a batch are of the same tokens
                scores = [table[:1].expand_as(table).contiguous() for table in scores]
        return Stage1Draws(examples, dropout, scores)

    def read(self, source: ExampleSource, drawn: Stage1Draws, slot: Slot) -> Stage1Batch:
        """Return the batch of some draws from a source; draws nothing."""
        examples = source.read(drawn.examples, slot, drawn.dropout)
        positions, counts = None, self._counts()
        if drawn.scores is not None and counts is not None:
            found = highest(drawn.scores, counts[1])
            positions = [slot.hold(f"positions {k}", table) for k, table in enumerate(found)]
        return Stage1Batch(examples, positions, self.targets.read(examples, slot))

    def _counts(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the numbers of tokens and of queries by layer; None where all are queried."""
        settings = self.settings
        if isinstance(self.targets, SemanticTargets):
            assert isinstance(settings, SemanticSettings)
            n_queries = settings.queries_per_example
            if n_queries is None or not self.model.training:
                return None
            return (self.model.n_queries,), (n_queries,)
        assert isinstance(settings, LowlevelSettings)
        return self.targets.layout.tokens_per_layer, settings.queries_per_layer

    def loss(self, batch: Stage1Batch) -> Tensor:
        """Return the loss of one batch."""
        with half_on_gpu(self.device):
            tokens = self.model.tokenize_mixed(batch.examples.groups_on(self.device))
            if isinstance(self.targets, SemanticTargets):
                true = self.targets.of(batch.examples, self.device, batch.rows)
                if batch.positions is None:
                    return self._semantic_loss(self.model.decode(tokens), true, batch)
                drawn = batch.positions[0].to(self.device, non_blocking=True)
                true = true.gather(1, drawn[..., None].expand(-1, -1, true.shape[-1]))
                return self._semantic_loss(self.model.decode(tokens, drawn), true, batch)
            return self._lowlevel_loss(tokens, batch, self.targets)

    @property
    def _contrast(self) -> SemanticSettings | None:
        """The settings of the contrastive term; None where there is none."""
        settings = self.settings
        if not isinstance(settings, SemanticSettings) or settings.contrastive_weight == 0:
            return None
        return settings

    def _semantic_loss(
        self,
        predicted: Float[Tensor, "batch queries out"],
        true: Float[Tensor, "batch queries out"],
        batch: Stage1Batch,
    ) -> Tensor:
        """Return the mean squared error and, in training, the weighted contrastive term.

        Validation is scored by L2 alone, with or without that term.
        """
        loss, contrast = F.mse_loss(predicted.float(), true), self._contrast
        if contrast is None or not self.model.training:
            return loss
        assert isinstance(self.model, BrainInteractionTransformer)
        features = self.model.retrieval_features(predicted)
        shares = image_shares(batch.examples)
        term = contrastive_loss(features, true, shares, contrast.contrastive_temperature)
        return loss + contrast.contrastive_weight * term

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        """Return the mean training loss of an epoch."""
        return mean_in_order(losses)

    @torch.no_grad()
    def validate(self) -> tuple[float] | None:
        """Return the mean loss over the validation examples, the same at every call."""
        if self.validation is None or self.validation.n_real == 0:
            return None
        self.model.eval()
        draws = torch_generator(self.seed, "stage1", "validation")
        drawn = (
            self.drawn(examples, draws)
            for examples in self.validation.draws(self.settings.batch, draws, None)
        )
        batches = load(drawn, partial(self.read, self.validation), self.loading)
        return (validation_loss(self.loss, batches, self.settings.validation_examples),)

    def _lowlevel_loss(
        self,
        tokens: Float[Tensor, "batch clusters width"],
        batch: Stage1Batch,
        targets: LowlevelTargets,
    ) -> Tensor:
        """Return InfoNCE, or for Table T5 the mean squared error, averaged over the layers."""
        settings = self.settings
        assert isinstance(settings, LowlevelSettings) and batch.positions is not None
        positions = [p.to(self.device, non_blocking=True) for p in batch.positions]
        true = targets.at(batch.examples, positions, batch.rows)
        starts = [layer.start for layer in targets.layout.layer_slices]
        shifted = [p + start for p, start in zip(positions, starts, strict=True)]
        predicted = self.model.decode(tokens, torch.cat(shifted, dim=1))
        parts = torch.split(predicted, [p.shape[1] for p in positions], dim=1)
        total = predicted.new_zeros(())
        for part, wanted in zip(parts, true, strict=True):
            total = total + token_loss(part.flatten(0, 1), wanted.flatten(0, 1), settings)
        return total / len(parts)


def plan_of(settings: Stage1Settings, n_batches: int) -> LoopPlan:
    """Return the loop's plan for stage 1."""
    n_uncounted = max(0, math.ceil(settings.warmup_epochs) - 1)
    return LoopPlan(
        epochs=settings.epochs,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_epochs * n_batches,
        warmup_ramp=settings.warmup_ramp,
        plateau=(
            Plateau(settings.plateau_patience, settings.plateau_threshold)
            if settings.schedule == "plateau"
            else None
        ),
        schedule=settings.schedule,
        optimizer=settings.optimizer,
        uncounted_epochs=n_uncounted if settings.plateau_from == "warmup_end" else 0,
        min_lr=settings.min_lr,
    )


def train_stage1(
    task: Stage1Task,
    label: str,
    checkpoints: Checkpointer | None = None,
    moments_on: str = "device",
) -> pd.DataFrame:
    """Train a BIT and return its history; the model keeps its best state on validation."""
    plan = plan_of(task.settings, task.n_batches())
    parameters, subjects = list(task.model.parameters()), task.train.voxels
    with states_of(moments_on, task.model, subjects, plan.optimizer) as states:
        return fit(parameters, task, plan, label=label, checkpoints=checkpoints, states=states)


def adapt_bit(
    task: Stage1Task,
    model: BrainInteractionTransformer,
    transfer: TransferSettings,
    checkpoints: Checkpointer | None = None,
) -> pd.DataFrame:
    """Train the voxel embeddings of a BIT in stage 1: fixed epochs, no warm-up, last state kept."""
    plan = LoopPlan(
        epochs=transfer.epochs,
        lr=transfer.lr,
        weight_decay=task.settings.weight_decay,
        schedule=task.settings.schedule,
        optimizer=task.settings.optimizer,
    )
    return fit_voxel_embeddings(model, task, plan, label="adapt_bit", checkpoints=checkpoints)


@dataclass
class Stage1Data:
    """Examples and targets of a decoder in stage 1; see `brain_decoder.TrainingData`."""

    kind: str
    source: ExampleSource
    validation: ExampleSource
    targets: SemanticTargets | LowlevelTargets
    settings: Settings
    device: torch.device
    checkpoints: Checkpointer | None = None
    loading: Loading = UNTHREADED

    def train(self, network: TokenNetwork) -> pd.DataFrame:
        """Train a network by gradient steps; return its history."""
        task = self._task(network.to(self.device))
        where, kept = self.settings.cohort.embedding_states, self.checkpoints
        return train_stage1(task, label=f"{self.kind} BIT", checkpoints=kept, moments_on=where)

    def calibrate(self, network: TokenNetwork) -> Calibration | None:
        """Return the calibration of a network where the settings of its kind ask for one."""
        task = self._task(network)
        if stage1_settings(self.settings, self.kind).calibration == "none":
            return None
        parts = (task.targets, task.validation, task.settings.batch, task.seed, task.device)
        return fit_calibration(CalibrationTask(network, *parts))

    @torch.no_grad()
    def examples(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield subject, betas and all true tokens of every training example once."""
        subjects = {voxels.start: name for name, voxels in self.source.voxels.items()}
        draws = torch_generator(self.settings.run.seed, "stage1", "examples")
        batch = stage1_settings(self.settings, self.kind).batch
        for examples in self.source.epoch(batch, draws, None):
            tokens = self.targets.of(examples, self.device)
            table = tokens if isinstance(tokens, Tensor) else torch.cat(tokens, dim=1)
            sizes = [len(group.betas) for group in examples.groups]
            groups = examples.groups_on(torch.device("cpu"))
            for group, part in zip(groups, torch.split(table, sizes), strict=True):
                yield subjects[group.voxels.start], group.betas, part

    def _task(self, network: TokenNetwork) -> Stage1Task:
        settings = stage1_settings(self.settings, self.kind)
        parts = (self.source, self.validation, self.targets, settings, self.settings.run.seed)
        return Stage1Task(network, *parts, self.device, loading=self.loading)


def stage1_settings(settings: Settings, kind: str) -> LowlevelSettings | SemanticSettings:
    """Return the stage-1 settings of a BIT of this kind."""
    return settings.bit_lowlevel if kind == "lowlevel" else settings.bit_semantic


@dataclass(frozen=True)
class BitInputs:
    """Which BIT stage 1 trains, and over which V2C map."""

    kind: Kind
    """features that the BIT predicts"""
    clusters: Path
    """V2C map"""


def run_stage1(
    inputs: BitInputs,
    data: PoolData,
    files: ImageFiles,
    tokens: TokenFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train the decoder of this kind on a pool and write it; `work` None keeps no checkpoints.

    Raises `PipelineError` where the V2C map is of other subjects or voxels than the betas.
    """
    device, kind = run_device(settings), inputs.kind
    pool = data.load(settings)
    targets = targets_of(kind, files.open(data), tokens, files.weights, settings, device)
    clusters = read_artifact(inputs.clusters, "clusters")
    require_same_subjects(inputs.clusters, clusters.attributes, pool.n_voxels)
    spec = DecoderSpec(kind, pool.n_voxels, clusters, *targets.token_shape, settings)
    decoder = new_decoder(spec)
    source, validation = pool_source(
        pool, data.synthetic, stage1_settings(settings, kind), settings.cohort.subjects_per_batch
    )
    network, loading = files.inputs(TARGET_ROLES[kind], settings), loading_of(work, device)
    with resumable(
        work, settings, {**vars(data), **network, **vars(tokens), **vars(inputs)}, out.history
    ) as checkpoints:
        history = decoder.fit(
            Stage1Data(kind, source, validation, targets, settings, device, checkpoints, loading)
        )
        decoder.save(out.bit, settings.run.seed)
        write_table(out.history, history)


@dataclass(frozen=True)
class AdaptBitInputs:
    """The BIT that a new subject's BIT shares its weights with, and the subject's V2C map."""

    kind: Kind
    """features that the BIT predicts"""
    clusters: Path
    """V2C map of the new subject, from assign_voxels"""
    base_bit: Path
    """BIT of the other subjects"""


def run_adapt_bit(
    inputs: AdaptBitInputs,
    new: NewSubject,
    files: ImageFiles,
    tokens: TokenFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a new subject's voxel embeddings in stage 1; `work` None keeps no checkpoints."""
    device, kind = run_device(settings), inputs.kind
    base = load_bit(inputs.base_bit)
    require_same_sizes(inputs.base_bit, base, settings.bit, kind)
    if kind == "semantic" and settings.bit_semantic.contrastive_weight > 0:
        require_projector(inputs.base_bit, base)
    source, fmri = new.load(settings)
    clusters = read_artifact(inputs.clusters, "clusters")
    model = new_subject_bit(base.model, clusters, inputs.clusters).to(device)
    targets = targets_of(kind, files.open(new), tokens, files.weights, settings, device)
    stage1, seed = stage1_settings(settings, kind), settings.run.seed
    loading = loading_of(work, device)
    task = Stage1Task(model, source, None, targets, stage1, seed, device, loading=loading)
    network = files.inputs(TARGET_ROLES[kind], settings)
    with resumable(
        work, settings, {**vars(new), **network, **vars(tokens), **vars(inputs)}, out.history
    ) as checkpoints:
        history = adapt_bit(task, model, settings.transfer, checkpoints)
        slices = subject_slices({new.subject: fmri.n_voxels})
        BitDecoder(model, slices, kind, base.calibration).save(out.bit, seed)
        write_table(out.history, history)
