"""Stage 2: BIT and diffusion model trained together with the diffusion loss (sections 3.2, D.1).

The BIT's tokens condition the U-Net, which predicts the noise in the image's latent; the tokens are
no longer aligned with OpenCLIP's. The VAE stays frozen. A new subject's stage 2 trains its voxel
embeddings alone (5.3, D.4).

Differs from the paper: a share of the examples (`joint.unconditional_share`) gets the unconditional
tokens, as in the generator's own training, so that classifier-free guidance keeps working.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.artifacts import write_table
from brainit.core.device import run_device
from brainit.core.seeds import torch_generator
from brainit.core.settings import JointSettings, Settings, Stage1Settings, TransferSettings
from brainit.features.generator import N_TRAIN_STEPS, Generator
from brainit.features.latent_cache import LatentCache
from brainit.models.brain_transformer import (
    BitDecoder,
    BrainInteractionTransformer,
    load_bit,
    require_same_sizes,
)
from brainit.models.generator_file import load_generator, save_generator
from brainit.models.subject_voxels import subject_slices
from brainit.models.token_calibration import Calibration
from brainit.training.embedding_states import states_of
from brainit.training.examples import (
    BatchImages,
    DrawnExamples,
    ExampleBatch,
    ExampleSource,
    VoxelDropout,
)
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject, PoolData, pool_source
from brainit.training.latents import LatentFiles, LatentSource
from brainit.training.loader import UNTHREADED, Loading, Slot, load, loading_of
from brainit.training.loop import LoopPlan, fit, half_on_gpu, mean_in_order, validation_loss
from brainit.training.optimizers import require_memory, training_bytes
from brainit.training.parallel import average_gradients, is_first, loss_weight
from brainit.training.resume import Checkpointer, EpochPosition, Work, resumable
from brainit.training.transfer import copy_shared, fit_voxel_embeddings


@dataclass(frozen=True)
class Noise:
    """Random draws of a batch: noise, time steps, and the examples without condition.

    `unconditional` are the tokens of the latter, and `numbers` those examples' numbers, which the
    host knows before the GPU does; None: the generator's fixed tokens.
    """

    noise: Float[Tensor, "batch c h w"]
    timesteps: Int[Tensor, "batch"]
    dropped: Bool[Tensor, "batch 1 1"]
    unconditional: Float[Tensor, "without tokens width"] | None
    numbers: Int[Tensor, "without"] | None = None

    def held_in(self, slot: Slot) -> "Noise":
        """Return the same draws where a GPU can read them; see `Slot.hold`."""
        without, numbers = self.unconditional, self.numbers
        return Noise(
            slot.hold("noise", self.noise),
            slot.hold("timesteps", self.timesteps),
            slot.hold("dropped", self.dropped),
            None if without is None else slot.hold("unconditional", without),
            None if numbers is None else slot.hold("numbers", numbers),
        )


@dataclass(frozen=True)
class JointBatch(Sized):
    """Examples, the noise drawn for them, and their images as `LatentSource.read` returns them.

    `images` None: not read yet.
    """

    examples: ExampleBatch
    drawn: Noise
    images: Tensor | None = None

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class JointDraws:
    """Drawn examples with their dropout and noise; `is_own` is False if this process skips them."""

    examples: DrawnExamples
    dropout: VoxelDropout | None
    noise: Noise
    is_own: bool = True


class JointLoss(nn.Module):
    """BIT and generator as one network, whose output is the loss.

    `calibration` maps the BIT's tokens before they condition the U-Net, as in reconstruction.
    """

    def __init__(
        self,
        model: BrainInteractionTransformer,
        generator: Generator,
        unconditional: Tensor,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.model, self.generator, self.unconditional = model, generator, unconditional
        self.calibration = calibration

    def forward(
        self, batch: ExampleBatch, latents: Float[Tensor, "batch c h w"], drawn: Noise
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of the predicted noise."""
        device = latents.device
        with half_on_gpu(device):
            tokens = self.model.decode(self.model.tokenize_mixed(batch.groups_on(device)))
            if self.calibration is not None:
                tokens = self.calibration.apply(tokens)
            dropped, unconditional = drawn.dropped.to(device, non_blocking=True), self.unconditional
            if drawn.unconditional is not None and drawn.numbers is not None:
                number = drawn.numbers.to(device, non_blocking=True)
                values = drawn.unconditional.to(device, non_blocking=True)
                unconditional = torch.zeros(tokens.shape, device=device)
                unconditional.index_copy_(0, number, values)
            condition = torch.where(dropped, unconditional, tokens)
            noise = drawn.noise.to(device, non_blocking=True)
            timesteps = drawn.timesteps.to(device, non_blocking=True)
            return diffusion_loss(self.generator, latents, noise, timesteps, condition)


@dataclass
class JointTask:
    """Diffusion loss of BIT and generator on batches of a source.

    `unconditional` is `recon.unconditional_tokens`; `cached` are latents by whether of external
    images, without which the VAE encodes the images.
    """

    model: BrainInteractionTransformer
    generator: Generator
    train: ExampleSource
    validation: ExampleSource | None
    images: BatchImages
    stage1: Stage1Settings
    settings: JointSettings
    seed: int
    device: torch.device
    unconditional: str
    calibration: Calibration | None = None
    score_columns: tuple[str, ...] = ("val_loss",)
    loading: Loading = UNTHREADED
    cached: Mapping[bool, LatentCache] = field(default_factory=dict)
    network: nn.Module = field(init=False)
    latents: LatentSource = field(init=False)

    def __post_init__(self) -> None:
        """Make the constant tokens; let the U-Net recompute activations where the settings ask."""
        unconditional = self.generator.unconditional_tokens().to(self.device)
        self.network = JointLoss(self.model, self.generator, unconditional, self.calibration)
        self.latents = LatentSource(self.images, self.generator, self.cached)
        if self.settings.gradient_checkpointing:
            unet: Any = self.generator.unet
            unet.enable_gradient_checkpointing()

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.train.n_batches(self.settings.batch)

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        return torch_generator(self.seed, "joint", "epoch", epoch)

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        """Return a context that does nothing: no layer drops units."""
        return nullcontext()

    def batches(self, position: EpochPosition) -> Iterator[JointBatch]:
        """Yield the batches of an epoch, from the position on."""
        self.model.train()
        dropout = VoxelDropout(self.stage1.voxels_per_example, self.stage1.voxel_sampling)
        yield from load(
            self._draws(dropout, position), partial(self.read, self.train), self.loading, position
        )

    def _draws(self, dropout: VoxelDropout, position: EpochPosition) -> Iterator[JointDraws]:
        draws, options = position.generator, self.settings
        drawn = self.train.draws(options.batch, draws, dropout, position)
        for number, examples in enumerate(drawn, start=position.n_done):
            noise = self.draw(len(examples), draws, options.unconditional_share)
            weight = loss_weight(number, self.n_batches(), options.accumulation)
            yield JointDraws(examples, dropout, noise, weight > 0)

    def read(self, source: ExampleSource, drawn: JointDraws, slot: Slot) -> JointBatch:
        """Return the batch of some draws from a source; draws nothing."""
        examples = source.read(drawn.examples, slot, drawn.dropout)
        images = self.latents.read(examples, slot) if drawn.is_own else None
        return JointBatch(examples, drawn.noise.held_in(slot), images)

    def loss(self, batch: JointBatch) -> Tensor:
        """Return the mean squared error of the predicted noise."""
        images = batch.images
        if images is None:
            images = self.latents.read(batch.examples, Slot())
        latents = self.latents.of(images, self.device)
        return self.network(batch.examples, latents, batch.drawn)

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        """Return the mean training loss of an epoch."""
        return mean_in_order(losses)

    @torch.no_grad()
    def validate(self) -> tuple[float] | None:
        """Return the mean loss over the validation examples.

        All draws are the same at every call; every example has its condition.
        """
        if self.validation is None or self.validation.n_real == 0:
            return None
        self.model.eval()
        draws = torch_generator(self.seed, "joint", "validation")
        drawn = (
            JointDraws(examples, None, self.draw(len(examples), draws, 0.0))
            for examples in self.validation.draws(self.settings.batch, draws, None)
        )
        batches = load(drawn, partial(self.read, self.validation), self.loading)
        return (validation_loss(self.loss, batches, self.settings.validation_examples),)

    def draw(self, n: int, draws: torch.Generator, unconditional_share: float) -> Noise:
        """Draw the noise of a batch of `n` examples, and the tokens of those without condition."""
        shape = torch.Size([n, *self.generator.latent_shape])
        noise = noise_with_offset(shape, self.settings.offset_noise, draws)
        timesteps = torch.randint(N_TRAIN_STEPS, (n,), generator=draws)
        dropped = torch.rand(n, 1, 1, generator=draws) < unconditional_share
        if self.unconditional != "drawn":
            return Noise(noise, timesteps, dropped, None)
        numbers = dropped.flatten().nonzero().flatten()
        size = (len(numbers), self.generator.n_tokens, self.generator.token_width)
        return Noise(noise, timesteps, dropped, torch.randn(size, generator=draws), numbers)


def noise_with_offset(
    shape: torch.Size, offset: float, draws: torch.Generator
) -> Float[Tensor, "batch c h w"]:
    """Return Gaussian noise plus `offset` times one Gaussian number per image and channel."""
    noise = torch.randn(shape, generator=draws)
    return noise + offset * torch.randn(*shape[:2], 1, 1, generator=draws)


def diffusion_loss(
    generator: Generator,
    latents: Float[Tensor, "batch c h w"],
    noise: Float[Tensor, "batch c h w"],
    timesteps: Int[Tensor, "batch"],
    condition: Float[Tensor, "batch tokens width"],
) -> Float[Tensor, ""]:
    """Return |noise - predicted noise|^2, averaged (the standard diffusion loss)."""
    noisy = generator.add_noise(latents, noise, timesteps)
    predicted = generator.predict_noise(noisy, timesteps, condition)
    return F.mse_loss(predicted.float(), noise)


def train_joint(
    task: JointTask, checkpoints: Checkpointer | None = None, moments_on: str = "device"
) -> pd.DataFrame:
    """Train BIT and U-Net and return the history; both keep their best state on validation.

    Raises `PipelineError` where weights, gradients and optimiser alone exceed the GPU's memory.
    """
    trained = [*task.model.parameters(), *trained_weights(task.generator.unet, task.settings)]
    kept = [*task.model.parameters(), *task.generator.parameters()]
    plan, subjects = joint_plan(task.settings), task.train.voxels
    with states_of(moments_on, task.model, subjects, plan.optimizer) as states:
        dense = [p for p in trained if states is None or p is not task.model.voxel_embedding]
        require_memory(task.device, training_bytes(kept, dense, task.settings.optimizer))
        task.network = average_gradients(task.network)
        return fit(trained, task, plan, label="joint", checkpoints=checkpoints, states=states)


def trained_weights(unet: nn.Module, settings: JointSettings) -> list[nn.Parameter]:
    """Return the weights of the U-Net that `joint.unet_weights` names, and freeze the others.

    "cross_attention" names the keys and values of the tokens in each transformer block.
    """
    unet.requires_grad_(settings.unet_weights == "all")
    if settings.unet_weights == "cross_attention":
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(".attn2.to_k." in name or ".attn2.to_v." in name)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def joint_plan(settings: JointSettings) -> LoopPlan:
    """Return the loop's plan for stage 2."""
    return LoopPlan(
        epochs=settings.epochs,
        lr=settings.lr,
        warmup_steps=float(settings.warmup_steps),
        warmup="linear",
        accumulation=settings.accumulation,
        max_steps=settings.max_steps,
        optimizer=settings.optimizer,
    )


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
    )
    task.generator.requires_grad_(False)
    return fit_voxel_embeddings(
        task.model, task, plan, label="adapt_joint", checkpoints=checkpoints
    )


@dataclass(frozen=True)
class JointInputs:
    """The BIT that stage 2 starts from."""

    base_bit: Path
    """semantic BIT of stage 1"""


@dataclass(frozen=True)
class JointOutput(BitOutput):
    """Where BIT, generator and history of stage 2 go."""

    generator: Path
    """weights of the U-Net to write"""


def run_joint(
    inputs: JointInputs,
    data: PoolData,
    files: ImageFiles,
    latents: LatentFiles,
    settings: Settings,
    out: JointOutput,
    work: Work | None = None,
) -> None:
    """Train semantic BIT and generator of a pool together; `work` None keeps no checkpoints.

    Of several processes the first writes.
    """
    device, seed = run_device(settings), settings.run.seed
    pool = data.load(settings)
    bit = load_bit(inputs.base_bit)
    require_same_sizes(inputs.base_bit, bit, settings.bit, "semantic")
    bit.model.projector = None  # of stage 1's tokens, which stage 2 changes
    name = settings.features.generator
    generator = load_generator(name, None, files.weights).to(device)
    stage1, joint = settings.bit_semantic, settings.joint
    train, validation = pool_source(
        pool, data.synthetic, stage1, settings.cohort.subjects_per_batch
    )
    model, images = bit.model.to(device), files.open(data)
    parts = (stage1, joint, seed, device, settings.recon.unconditional_tokens, bit.calibration)
    cached, loading = latents.open(name, generator), loading_of(work, device)
    task = JointTask(
        model, generator, train, validation, images, *parts, loading=loading, cached=cached
    )
    network = files.inputs("generator", settings)
    sources = {**vars(data), **network, **vars(latents), **vars(inputs)}
    with resumable(work, settings, sources, out.history) as checkpoints:
        history = train_joint(task, checkpoints, settings.cohort.embedding_states)
        if not is_first():
            return
        slices = subject_slices(pool.n_voxels)
        BitDecoder(model, slices, "semantic", bit.calibration).save(out.bit, seed)
        save_generator(out.generator, generator, name=name, seed=seed)
        write_table(out.history, history)


@dataclass(frozen=True)
class AdaptJointInputs:
    """The new subject's BIT after stage 1, and the other subjects' models after stage 2."""

    base_bit: Path
    """semantic BIT of the new subject, from adapt_bit"""
    base_joint_bit: Path
    """semantic BIT of the other subjects after stage 2"""
    base_generator: Path
    """generator after stage 2"""


def run_adapt_joint(
    inputs: AdaptJointInputs,
    new: NewSubject,
    files: ImageFiles,
    latents: LatentFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a new subject's voxel embeddings in stage 2; every other weight is the pool's.

    `work` None keeps no checkpoints.
    """
    device, seed = run_device(settings), settings.run.seed
    adapted, base = load_bit(inputs.base_bit), load_bit(inputs.base_joint_bit)
    require_same_sizes(inputs.base_bit, adapted, settings.bit, "semantic")
    adapted.model.projector = None  # as in `run_joint`
    copy_shared(base.model, adapted.model, inputs.base_joint_bit)
    name = settings.features.generator
    generator = load_generator(name, inputs.base_generator, files.weights).to(device)
    source, fmri = new.load(settings)
    model, images = adapted.model.to(device), files.open(new)
    stage1, joint = settings.bit_semantic, settings.joint
    parts = (stage1, joint, seed, device, settings.recon.unconditional_tokens, base.calibration)
    cached, loading = latents.open(name, generator), loading_of(work, device)
    task = JointTask(model, generator, source, None, images, *parts, loading=loading, cached=cached)
    network = files.inputs("generator", settings)
    sources = {**vars(new), **network, **vars(latents), **vars(inputs)}
    with resumable(work, settings, sources, out.history) as checkpoints:
        history = adapt_joint(task, settings.transfer, checkpoints)
        slices = subject_slices({new.subject: fmri.n_voxels})
        BitDecoder(model, slices, "semantic", base.calibration).save(out.bit, seed)
        write_table(out.history, history)
