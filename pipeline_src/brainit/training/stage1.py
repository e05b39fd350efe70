"""Stage 1: the low-level BIT by InfoNCE per VGG layer, the semantic BIT by L2 (3.2, D.1, D.2).

Differs from the paper: on a GPU the forward pass runs in bfloat16 instead of float16.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from brainit.core.errors import PipelineError
from brainit.core.seeds import torch_generator
from brainit.core.settings import LowlevelSettings, Stage1Settings
from brainit.models.brain_mlp import BrainMlp
from brainit.models.brain_transformer import BrainInteractionTransformer, SubjectBatch
from brainit.models.token_calibration import CalibrationFit, TokenCalibration
from brainit.training.examples import ExampleBatch, ExampleSource, VoxelDropout
from brainit.training.loop import LoopPlan, fit
from brainit.training.losses import infonce
from brainit.training.positions import EpochPosition
from brainit.training.resume import Checkpointer
from brainit.training.targets import LowlevelTargets, SemanticTargets

N_VALIDATION = 256

logger = logging.getLogger(__name__)


def to_device(batch: ExampleBatch, device: torch.device) -> list[SubjectBatch]:
    """Return a batch's groups on the device."""
    return [
        SubjectBatch(
            group.betas.to(device),
            group.voxels,
            None if group.keep is None else group.keep.to(device),
        )
        for group in batch.groups
    ]


def half_on_gpu(device: torch.device) -> torch.autocast:
    """Return the mixed-precision context: bfloat16 on a GPU, float32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@dataclass
class Stage1Task:
    """Losses of a BIT on batches of a source; validation on real examples with all voxels."""

    model: BrainInteractionTransformer | BrainMlp
    train: ExampleSource
    validation: ExampleSource | None
    targets: SemanticTargets | LowlevelTargets
    settings: Stage1Settings
    seed: int
    device: torch.device

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.train.n_batches(self.settings.batch)

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        return torch_generator(self.seed, "stage1", "epoch", epoch)

    def losses(self, position: EpochPosition) -> Iterator[Tensor]:
        """Yield the loss of each batch of an epoch, from the position on."""
        self.model.train()
        generator = position.generator
        dropout = VoxelDropout(self.settings.voxels_per_example, self.settings.voxel_sampling)
        for batch in self.train.epoch(self.settings.batch, generator, dropout, position):
            yield self.loss(batch, generator)

    @torch.no_grad()
    def validate(self) -> float | None:
        """Return the mean loss over at most 256 validation examples, the same at every call."""
        if self.validation is None or self.validation.n_real == 0:
            return None
        self.model.eval()
        generator = torch_generator(self.seed, "stage1", "validation")
        sums, n_seen = 0.0, 0
        for batch in self.validation.epoch(self.settings.batch, generator, None):
            sums += self.loss(batch, generator).item() * len(batch)
            n_seen += len(batch)
            if n_seen >= N_VALIDATION:
                break
        return sums / n_seen

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> Tensor:
        """Return the loss of one batch."""
        with half_on_gpu(self.device):
            tokens = self.model.tokenize_mixed(to_device(batch, self.device))
            if isinstance(self.targets, SemanticTargets):
                predicted = self.model.decode(tokens)
                return F.mse_loss(predicted.float(), self.targets.of(batch, self.device))
            return self._lowlevel_loss(tokens, batch, self.targets, generator)

    def _lowlevel_loss(
        self,
        tokens: Float[Tensor, "batch clusters width"],
        batch: ExampleBatch,
        targets: LowlevelTargets,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the loss at positions drawn per layer and image, averaged over the layers.

        InfoNCE, or for Table T5 the mean squared error.
        """
        settings = self.settings
        assert isinstance(settings, LowlevelSettings)
        drawn = draw_positions(
            len(batch), targets.layout.tokens_per_layer, settings.queries_per_layer, generator
        )
        positions = [position.to(self.device) for position in drawn]
        true = targets.at(batch, positions)
        starts = [place.start for place in targets.layout.layer_slices]
        shifted = [p + start for p, start in zip(positions, starts, strict=True)]
        predicted = self.model.decode(tokens, torch.cat(shifted, dim=1))
        parts = torch.split(predicted, [p.shape[1] for p in positions], dim=1)
        total = predicted.new_zeros(())
        for part, wanted in zip(parts, true, strict=True):
            total = total + _token_loss(part.flatten(0, 1), wanted.flatten(0, 1), settings)
        return total / len(parts)


def _token_loss(
    predicted: Float[Tensor, "tokens width"],
    true: Float[Tensor, "tokens width"],
    settings: LowlevelSettings,
) -> Tensor:
    if settings.loss == "mse":
        return F.mse_loss(predicted.float(), true)
    loss, _ = infonce(
        predicted,
        true,
        rows=settings.logit_rows,
        similarity=settings.similarity,
        temperature=settings.temperature,
    )
    return loss


@torch.no_grad()
def fit_calibration(task: Stage1Task) -> TokenCalibration:
    """Return the affine map of each layer, fitted on all validation examples with all voxels.

    Logs each layer's mean norm of predicted over true tokens. Raises `PipelineError` where the task
    has no validation examples or is not the low-level BIT's.
    """
    targets, source = task.targets, task.validation
    if not isinstance(targets, LowlevelTargets) or source is None or source.n_real == 0:
        raise PipelineError(
            "settings calibration",
            "a low-level BIT with validation examples",
            "none",
            "set calibration to none, or nsd.validation_share higher",
        )
    task.model.eval()
    layers = targets.layout.layer_slices
    fit_of = CalibrationFit(targets.layout.tokens_per_layer, targets.layout.width)
    norms = torch.zeros(2, len(layers))
    generator = torch_generator(task.seed, "stage1", "calibration")
    for batch in source.epoch(task.settings.batch, generator, None):
        with half_on_gpu(task.device):
            predicted = task.model.decode(task.model.tokenize_mixed(to_device(batch, task.device)))
        tables = targets.of(batch, task.device)
        fit_of.add(predicted.float(), torch.cat(tables, dim=1))
        for k, place in enumerate(layers):
            norms[0, k] += predicted[:, place].float().norm(dim=-1).mean(1).sum().cpu()
            norms[1, k] += tables[k].norm(dim=-1).mean(1).sum().cpu()
    ratios = ", ".join(f"{ratio:.2f}" for ratio in norms[0] / norms[1])
    logger.info("norm of predicted over true tokens, by layer, before calibration: %s", ratios)
    return fit_of.solve()


def draw_positions(
    n_images: int,
    tokens_per_layer: tuple[int, ...],
    queries_per_layer: tuple[int, ...],
    generator: torch.Generator,
) -> list[Int[Tensor, "images queries"]]:
    """Draw for each image and layer positions without repetition, at most those that there are."""
    found = []
    for n_tokens, n_queries in zip(tokens_per_layer, queries_per_layer, strict=True):
        scores = torch.rand(n_images, n_tokens, generator=generator)
        found.append(scores.topk(min(n_queries, n_tokens), dim=1).indices)
    return found


def plan_of(settings: Stage1Settings, n_batches: int) -> LoopPlan:
    """Return the loop's plan for stage 1."""
    return LoopPlan(
        epochs=settings.epochs,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_epochs * n_batches,
        plateau_patience=settings.plateau_patience,
        plateau_threshold=settings.plateau_threshold,
        min_lr=settings.min_lr,
    )


def train_stage1(
    task: Stage1Task, label: str, checkpoints: Checkpointer | None = None
) -> pd.DataFrame:
    """Train a BIT and return its history; the model keeps its best state on validation."""
    plan = plan_of(task.settings, task.n_batches())
    return fit(list(task.model.parameters()), task, plan, label, checkpoints)
