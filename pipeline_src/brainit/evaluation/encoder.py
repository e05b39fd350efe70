"""Score the encoder on held-out shared images, by part of cortex (arXiv 2406.12179; section 4.4).

Per voxel: the correlation over test images of predicted and measured responses, beside its limit,
the root of the noise ceiling; per part of cortex their median, which the literature reports, and
their mean. Intervals resample images for all voxels at once: neighbouring voxels
respond alike and see the same images, so resampling voxels would give intervals that are too
narrow.

Parts of cortex: all voxels, hemispheres, the labels whose union is the mask, ranges of the noise
ceiling and, in a simulation, true areas. The table `encoder` shows these numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import encoder_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.core.streams import numpy_generator
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.data.images import ImageStore
from brainit.data.nsd.masks import voxels_of_labels
from brainit.data.voxels import read_voxels
from brainit.evaluation.metrics.names import ENCODER_COLUMNS
from brainit.evaluation.metrics.two_way import row_correlations, standardised
from brainit.evaluation.truth import read_voxel_truth
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

    Raises `PipelineError` if the encoder was trained without a subject or on other voxels.
    """
    device = run_device(settings)
    model = load_encoder(encoder, settings.features, weights_dir).to(device).eval()
    model.use_precision(encoder_precision(settings, device))
    images = ImageStore(stimuli)
    predictions = []
    for subject in betas:
        fmri = load_subject_fmri(subject, betas[subject], trials[subject], ("test",), "40h", True)
        _require_subject(encoder, model, fmri)
        predicted = _predict(model, fmri, images, device)
        measured = torch.from_numpy(fmri.betas.astype(np.float32))
        predictions.append(EncoderPredictions(subject, predicted, measured))
    return predictions


def _require_subject(path: Path, model: VoxelEncoder, fmri: SubjectFmri) -> None:
    known = {s: model.voxel_slice(s) for s in model.subjects}
    counts = {s: voxels.stop - voxels.start for s, voxels in known.items()}
    if counts.get(fmri.subject) != fmri.n_voxels:
        expected = f"an encoder of {fmri.subject} with {fmri.n_voxels} voxels"
        found = f"voxels by subject {counts}"
        fix = f"give the encoder of a pool that holds {fmri.subject}, or rerun train_encoder"
        raise PipelineError(path, expected, found, fix, code="inconsistent-inputs")


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
    """Return each voxel's correlation with shuffled images, (permutations, voxels)."""
    first, second = (
        standardised(values.T) for values in (predictions.predicted, predictions.measured)
    )
    # Written into one array: small arrays kept between large ones would keep these, too (GB).
    rows = np.empty((n_permutations, first.shape[0]))
    for row in rows:
        order = torch.from_numpy(generator.permutation(first.shape[1]))
        row[:] = (first * second[:, order]).sum(dim=1).numpy()
    return rows


def share_of_attainable(
    correlation: NDArray[np.float64], noise_ceiling: NDArray[np.float64], least_ceiling: float
) -> NDArray[np.float64]:
    """Return the median over voxels of correlation / sqrt(ceiling / 100).

    Only voxels with a ceiling (percent) above `least_ceiling` count. Voxels are the last axis of
    `correlation`.
    """
    is_responsive = noise_ceiling > least_ceiling
    attainable = np.sqrt(noise_ceiling[is_responsive] / 100.0)
    return np.asarray(np.median(correlation[..., is_responsive] / attainable, axis=-1))


_VOXELS_PER_BLOCK = 512
_ROUNDING = 1.0e-12
"""A variance below this share of the mean square counts as none."""


def resampled_correlations(
    predictions: EncoderPredictions, n_resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return each voxel's correlation in each resample of images, (resamples, voxels).

    A voxel without variance in a resample has correlation 0 there.
    """
    n_images, n_voxels = predictions.predicted.shape
    draws = (generator.integers(n_images, size=n_images) for _ in range(n_resamples))
    counts = np.stack([np.bincount(draw, minlength=n_images) for draw in draws])
    weights = torch.from_numpy(counts / n_images)
    blocks = []
    for start, stop in shard_ranges(n_voxels, _VOXELS_PER_BLOCK):
        block = (values[:, start:stop] for values in (predictions.predicted, predictions.measured))
        blocks.append(_weighted_correlations(weights, *block).numpy())
    return np.concatenate(blocks, axis=1)


def _weighted_correlations(
    weights: Float[Tensor, "resamples images"],
    predicted: Float[Tensor, "images voxels"],
    measured: Float[Tensor, "images voxels"],
) -> Float[Tensor, "resamples voxels"]:
    """Return (E[xy] - E[x] E[y]) / sqrt(var[x] var[y]); rows of `weights` are distributions."""
    x, y = (standardised(values.T).T for values in (predicted, measured))
    mean_x, mean_y = weights @ x, weights @ y
    square_x, square_y = weights @ x.square(), weights @ y.square()
    var_x, var_y = square_x - mean_x.square(), square_y - mean_y.square()
    varies = (var_x > _ROUNDING * square_x) & (var_y > _ROUNDING * square_y)
    covariance = weights @ (x * y) - mean_x * mean_y
    return torch.where(varies, covariance / (var_x * var_y).sqrt(), 0.0)


CEILING_EDGES = (0.0, 10.0, 30.0, 50.0, 100.0)
"""Ranges of the noise ceiling, in percent of variance."""


@dataclass(frozen=True)
class EncoderFiles:
    """The files of one subject; `nsd` is the fetched tree, `truth` that of a simulation or None."""

    encoder: Path
    nsd: Path
    voxels: Path
    betas: Path
    trials: Path
    stimuli: Path
    truth: Path | None = None
    weights_dir: Path | None = None


def evaluate_encoder(subject: str, files: EncoderFiles, settings: Settings) -> pd.DataFrame:
    """Return the encoder's accuracy on the test images of `subject`, a row for each part.

    Raises `PipelineError` if the encoder was trained without the subject or on other voxels.
    """
    betas, trials = {subject: files.betas}, {subject: files.trials}
    (predictions,) = predict_test_responses(
        files.encoder, betas, trials, files.stimuli, files.weights_dir, settings
    )
    table = read_voxels(files.voxels)
    ceiling = table["noise_ceiling"].astype(np.float64)
    parts = dict(_parts(table["hemisphere"], ceiling))
    labels = voxels_of_labels(
        files.nsd, str(table.attributes["mask"]), table["vertex"], table["hemisphere"]
    )
    parts |= {f"label {name}": inside for name, inside in labels.items()}
    if files.truth is not None:
        true = read_voxel_truth(files.truth, subject, files.voxels)
        parts |= {f"true {name}": true.area == i for i, name in enumerate(true.areas)}
    return accuracy_by_part(predictions, ceiling, parts, settings)


def _parts(
    hemisphere: NDArray[np.int64], ceiling: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield "all voxels", np.ones(len(ceiling), dtype=bool)
    for side, name in enumerate(("left", "right")):
        yield f"{name} hemisphere", hemisphere == side
    for low, high in zip(CEILING_EDGES[:-1], CEILING_EDGES[1:], strict=True):
        is_last = high == CEILING_EDGES[-1]
        below = ceiling <= high if is_last else ceiling < high
        yield f"ceiling {low:.0f} to {high:.0f} %", (ceiling >= low) & below


def accuracy_by_part(
    predictions: EncoderPredictions,
    ceiling: NDArray[np.float64],
    parts: Mapping[str, NDArray[np.bool_]],
    settings: Settings,
) -> pd.DataFrame:
    """Return `ENCODER_COLUMNS` for each part with voxels; `ceiling` in percent, by voxel."""
    known = {name: inside for name, inside in parts.items() if inside.any()}
    generator = numpy_generator(settings.run.seed, "encoder_accuracy", predictions.subject)
    resampled = resampled_correlations(predictions, settings.evaluation.n_bootstrap, generator)
    correlation, n_images = predictions.correlation, len(predictions.predicted)
    rows = []
    for name, inside in known.items():
        values, limits = correlation[inside], ceiling[inside]
        able = limits > CEILING_EDGES[1]
        share = np.median(values[able] / np.sqrt(limits[able] / 100)) if able.any() else np.nan
        interval = np.percentile(resampled[:, inside].mean(axis=1), (2.5, 97.5))
        of_median = np.percentile(np.median(resampled[:, inside], axis=1), (2.5, 97.5))
        rows.append(
            (
                name,
                len(values),
                n_images,
                float(np.median(limits)),
                float(values.mean()),
                *(float(end) for end in interval),
                float(np.median(values)),
                *(float(end) for end in of_median),
                float(share),
            )
        )
    return pd.DataFrame(rows, columns=list(ENCODER_COLUMNS))
