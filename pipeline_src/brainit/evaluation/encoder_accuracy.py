"""How well the encoder predicts responses to held-out shared images (arXiv 2406.12179; 4.4).

Per voxel, the correlation over test images of prediction and measured response, beside what the
noise allows: the root of the noise ceiling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import encoder_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.data.images import ImageStore
from brainit.evaluation.two_way import row_correlations, standardised
from brainit.models.voxel_encoder import VoxelEncoder, load_encoder

_BATCH = 64


@dataclass(frozen=True)
class EncoderPredictions:
    """Predicted and measured (repeats averaged) responses of the test images, float32."""

    subject: str
    predicted: Float[Tensor, "images voxels"]
    measured: Float[Tensor, "images voxels"]

    @property
    def correlation(self) -> NDArray[np.float64]:
        """Correlation over images of each voxel, in [-1, 1]."""
        return row_correlations(self.predicted.T, self.measured.T).numpy()


def predict_test_responses(
    encoder: Path,
    betas: Mapping[str, Path],
    trials: Mapping[str, Path],
    stimuli: Path,
    weights_dir: Path | None,
    settings: Settings,
) -> list[EncoderPredictions]:
    """Predict the responses of each subject to its test images.

    Raises `PipelineError` where the encoder does not know a subject or its voxels.
    """
    device = run_device(settings)
    model = load_encoder(encoder, settings.features, weights_dir).to(device).eval()
    model.use_precision(encoder_precision(settings, device))
    images = ImageStore(stimuli)
    found = []
    for subject in betas:
        fmri = load_subject_fmri(subject, betas[subject], trials[subject], ("test",), "40h", True)
        _require_subject(encoder, model, fmri)
        predicted = _predict(model, fmri, images, device)
        measured = torch.from_numpy(fmri.betas.astype(np.float32))
        found.append(EncoderPredictions(subject, predicted, measured))
    return found


def _require_subject(path: Path, model: VoxelEncoder, fmri: SubjectFmri) -> None:
    known = {s: model.voxel_slice(s) for s in model.subjects}
    counts = {s: voxels.stop - voxels.start for s, voxels in known.items()}
    if counts.get(fmri.subject) != fmri.n_voxels:
        expected = f"an encoder of {fmri.subject} with {fmri.n_voxels} voxels"
        raise PipelineError(path, expected, f"one of {counts}", "rerun train_encoder")


@torch.inference_mode()
def _predict(
    model: VoxelEncoder, fmri: SubjectFmri, images: ImageStore, device: torch.device
) -> Float[Tensor, "images voxels"]:
    voxels = model.hoist(model.voxel_slice(fmri.subject))
    blocks = [
        model.predict(images.images(fmri.nsd_id[start:stop]).to(device), voxels).cpu()
        for start, stop in shard_ranges(len(fmri.nsd_id), _BATCH)
    ]
    return torch.cat(blocks)


def shuffled_correlations(
    predictions: EncoderPredictions, n_permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return each voxel's correlation with images shuffled, (permutations, voxels)."""
    first, second = (
        standardised(values.T) for values in (predictions.predicted, predictions.measured)
    )
    orders = (generator.permutation(first.shape[1]) for _ in range(n_permutations))
    rows = [(first * second[:, torch.from_numpy(order)]).sum(dim=1).numpy() for order in orders]
    return np.stack(rows)


def share_of_attainable(
    correlation: NDArray[np.float64], noise_ceiling: NDArray[np.float64], least_ceiling: float
) -> NDArray[np.float64]:
    """Return the median over voxels of correlation / sqrt(ceiling / 100).

    Only voxels whose ceiling (percent) is above `least_ceiling` count; voxels are the last axis of
    `correlation`.
    """
    is_responsive = noise_ceiling > least_ceiling
    attainable = np.sqrt(noise_ceiling[is_responsive] / 100.0)
    return np.asarray(np.median(correlation[..., is_responsive] / attainable, axis=-1))
