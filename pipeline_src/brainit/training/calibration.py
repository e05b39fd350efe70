"""Fit the map from predicted to true tokens on the validation examples (optional; not in P)."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.seeds import torch_generator
from brainit.models.brain_decoder import TokenNetwork
from brainit.models.token_calibration import (
    Calibration,
    CalibrationFit,
    DeviationCalibration,
    DeviationFit,
    TokenCalibration,
)
from brainit.training.examples import ExampleBatch, ExampleSource
from brainit.training.loop import half_on_gpu
from brainit.training.targets import LowlevelTargets, SemanticTargets

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationTask:
    """A trained network, its targets, and the validation examples that are decoded `batch`-wise."""

    network: TokenNetwork
    targets: SemanticTargets | LowlevelTargets
    validation: ExampleSource | None
    batch: int
    seed: int
    device: torch.device


@torch.no_grad()
def fit_calibration(task: CalibrationTask) -> Calibration:
    """Return the map of a low-level or semantic network, fitted with all voxels.

    VGG tokens get an affine map per layer, semantic ones a factor and an offset per output. Raises
    `PipelineError` where the task has no validation examples.
    """
    kind = "lowlevel" if isinstance(task.targets, LowlevelTargets) else "semantic"
    if task.validation is None or task.validation.n_real == 0:
        raise PipelineError(
            f"settings bit_{kind}.calibration",
            "validation examples",
            "none",
            f"set bit_{kind}.calibration to none, or raise nsd.validation_share",
            code="missing-data",
        )
    task.network.eval()
    draws = torch_generator(task.seed, "stage1", "calibration")
    batches = task.validation.epoch(task.batch, draws, None)
    if isinstance(task.targets, LowlevelTargets):
        return _fit_layers(task, task.targets, batches)
    return _fit_deviation(task, task.targets, batches)


def _fit_layers(
    task: CalibrationTask, targets: LowlevelTargets, batches: Iterator[ExampleBatch]
) -> TokenCalibration:
    """Fit each layer's affine map; log each layer's ratio of norms of predicted and true tokens."""
    layers = targets.layout.layer_slices
    calibration = CalibrationFit(targets.layout.tokens_per_layer, targets.layout.width)
    norms = torch.zeros(2, len(layers))
    for batch in batches:
        predicted = _predicted(task, batch)
        tables = targets.of(batch, task.device)
        calibration.add(predicted, torch.cat(tables, dim=1))
        for k, layer in enumerate(layers):
            norms[0, k] += predicted[:, layer].norm(dim=-1).mean(1).sum().cpu()
            norms[1, k] += tables[k].norm(dim=-1).mean(1).sum().cpu()
    ratios = ", ".join(f"{ratio:.2f}" for ratio in norms[0] / norms[1])
    logger.info("norm of predicted over true tokens, by layer, before calibration: %s", ratios)
    return calibration.solve()


def _fit_deviation(
    task: CalibrationTask, targets: SemanticTargets, batches: Iterator[ExampleBatch]
) -> DeviationCalibration:
    calibration = DeviationFit()
    for batch in batches:
        calibration.add(_predicted(task, batch), targets.of(batch, task.device))
    found = calibration.solve()
    logger.info("deviation of true over predicted tokens: %.2f", found.scale.mean())
    return found


def _predicted(task: CalibrationTask, batch: ExampleBatch) -> Tensor:
    with half_on_gpu(task.device):
        tokens = task.network.tokenize_mixed(batch.groups_on(task.device))
        return task.network.decode(tokens).float()
