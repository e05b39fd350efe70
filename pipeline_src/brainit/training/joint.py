"""Stage 2: BIT and diffusion model trained together with the diffusion loss (sections 3.2, D.1).

The BIT's tokens condition the U-Net, which predicts the noise of the image's latent; alignment with
OpenCLIP's tokens is no longer enforced. The VAE stays frozen.

Differs from the paper: some examples (`joint.unconditional_share`) have the unconditional tokens,
so that classifier-free guidance keeps working, as in the generator's own training; 0 has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.seeds import torch_generator
from brainit.core.settings import JointSettings, Stage1Settings
from brainit.features.generator import N_TRAIN_STEPS, Generator
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.examples import ExampleBatch, ExampleSource, VoxelDropout
from brainit.training.loop import LoopPlan, fit
from brainit.training.memory import require_memory, training_bytes
from brainit.training.parallel import gradients_of, join_gradients, weight_of
from brainit.training.positions import EpochPosition
from brainit.training.resume import Checkpointer
from brainit.training.stage1 import N_VALIDATION, half_on_gpu, to_device
from brainit.training.targets import BatchImages


@dataclass(frozen=True)
class Noise:
    """What is drawn for a batch: noise, time steps, and whose tokens are the unconditional ones."""

    noise: Float[Tensor, "batch c h w"]
    timesteps: Int[Tensor, "batch"]
    dropped: Bool[Tensor, "batch 1 1"]


class JointLoss(nn.Module):
    """BIT and generator as one network, whose output is the loss."""

    def __init__(
        self, model: BrainInteractionTransformer, generator: Generator, unconditional: Tensor
    ) -> None:
        super().__init__()
        self.model, self.generator, self.unconditional = model, generator, unconditional

    def forward(
        self, batch: ExampleBatch, latents: Float[Tensor, "batch c h w"], drawn: Noise
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of the predicted noise."""
        device = latents.device
        with half_on_gpu(device):
            tokens = self.model.decode(self.model.tokenize_mixed(to_device(batch, device)))
            condition = torch.where(drawn.dropped.to(device), self.unconditional, tokens)
            noise, timesteps = drawn.noise.to(device), drawn.timesteps.to(device)
            return diffusion_loss(self.generator, latents, noise, timesteps, condition)


@dataclass
class JointTask:
    """Diffusion loss of BIT and generator on batches of a source."""

    model: BrainInteractionTransformer
    generator: Generator
    train: ExampleSource
    validation: ExampleSource | None
    images: BatchImages
    stage1: Stage1Settings
    settings: JointSettings
    seed: int
    device: torch.device
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        """Make the constant tokens; let the U-Net compute twice where the settings say so."""
        unconditional = self.generator.unconditional_tokens().to(self.device)
        self.network = JointLoss(self.model, self.generator, unconditional)
        if self.settings.gradient_checkpointing:
            unet: Any = self.generator.unet
            unet.enable_gradient_checkpointing()

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.train.n_batches(self.settings.batch)

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        return torch_generator(self.seed, "joint", "epoch", epoch)

    def losses(self, position: EpochPosition) -> Iterator[Tensor | None]:
        """Yield the loss of each batch of an epoch, from the position on; None: another's batch."""
        self.model.train()
        draws, settings, n_batches = position.generator, self.settings, self.n_batches()
        dropout = VoxelDropout(self.stage1.voxels_per_example, self.stage1.voxel_sampling)
        batches = self.train.epoch(settings.batch, draws, dropout, position)
        for number, batch in enumerate(batches, start=position.n_done):
            drawn = self.draw(len(batch), draws, settings.unconditional_share)
            weight = weight_of(number, n_batches, settings.accumulation)
            if weight == 0:
                yield None
                continue
            with gradients_of(self.network, number, n_batches, settings.accumulation):
                yield weight * self.loss(batch, drawn)

    @torch.no_grad()
    def validate(self) -> float | None:
        """Return the loss on validation examples, with the same noise and steps at every call."""
        if self.validation is None or self.validation.n_real == 0:
            return None
        self.model.eval()
        draws = torch_generator(self.seed, "joint", "validation")
        sums, n_seen = 0.0, 0
        for batch in self.validation.epoch(self.settings.batch, draws, None):
            sums += self.loss(batch, self.draw(len(batch), draws, 0.0)).item() * len(batch)
            n_seen += len(batch)
            if n_seen >= N_VALIDATION:
                break
        return sums / n_seen

    def draw(self, n: int, draws: torch.Generator, unconditional_share: float) -> Noise:
        """Draw the noise of a batch of `n` examples."""
        shape = torch.Size([n, *self.generator.latent_shape])
        noise = noise_with_offset(shape, self.settings.offset_noise, draws)
        timesteps = torch.randint(N_TRAIN_STEPS, (n,), generator=draws)
        dropped = torch.rand(n, 1, 1, generator=draws) < unconditional_share
        return Noise(noise, timesteps, dropped)

    def loss(self, batch: ExampleBatch, drawn: Noise) -> Tensor:
        """Return the mean squared error of the predicted noise."""
        with torch.no_grad():
            latents = self.generator.encode(self.images.of(batch).to(self.device))
        return self.network(batch, latents, drawn)


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


def train_joint(task: JointTask, checkpoints: Checkpointer | None = None) -> pd.DataFrame:
    """Train BIT and U-Net and return the history; both keep their best state on validation.

    Raises `PipelineError` where weights, gradients and optimiser alone outgrow the GPU.
    """
    trained = [*task.model.parameters(), *trained_weights(task.generator.unet, task.settings)]
    kept = [*task.model.parameters(), *task.generator.parameters()]
    require_memory(task.device, training_bytes(kept, trained, task.settings.optimizer))
    task.network = join_gradients(task.network)
    return fit(trained, task, joint_plan(task.settings), "joint", checkpoints)


def trained_weights(unet: nn.Module, settings: JointSettings) -> list[nn.Parameter]:
    """Return the weights of the U-Net that `joint.unet_weights` names; the others are frozen.

    "cross_attention" are the keys and values of the tokens in each transformer block.
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
