"""How well the encoder predicts each part of a subject's cortex, beside the noise ceiling.

Parts are all voxels, the hemispheres, the labels whose union is the mask, ranges of the noise
ceiling and, in a simulation, true areas. The table `encoder` is made of these numbers alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.masks import voxels_of_labels
from brainit.data.voxels import read_voxels
from brainit.evaluation.encoder_accuracy import EncoderPredictions, predict_test_responses
from brainit.evaluation.encoder_intervals import resampled_mean_correlations
from brainit.evaluation.encoder_table import ENCODER_COLUMNS
from brainit.evaluation.truth import read_voxel_truth

CEILING_EDGES = (0.0, 10.0, 30.0, 50.0, 100.0)
"""Ranges of the noise ceiling, in percent of variance."""


@dataclass(frozen=True)
class EncoderFiles:
    """The files of one subject; `nsd` is the fetched tree, `truth` a simulation's or None."""

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

    Raises `PipelineError` where the encoder does not know the subject or its voxels.
    """
    betas, trials = {subject: files.betas}, {subject: files.trials}
    (found,) = predict_test_responses(
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
    return accuracy_by_part(found, ceiling, parts, settings)


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
    found: EncoderPredictions,
    ceiling: NDArray[np.float64],
    parts: Mapping[str, NDArray[np.bool_]],
    settings: Settings,
) -> pd.DataFrame:
    """Return `ENCODER_COLUMNS` for each part that has voxels; `ceiling` in percent, by voxel."""
    known = {name: inside for name, inside in parts.items() if inside.any()}
    generator = numpy_generator(settings.run.seed, "encoder_accuracy", found.subject)
    n_resamples = settings.evaluation.n_bootstrap
    means = resampled_mean_correlations(found, np.stack([*known.values()]), n_resamples, generator)
    intervals = np.percentile(means, (2.5, 97.5), axis=0).T
    correlation = found.correlation
    rows = []
    for (name, inside), (low, high) in zip(known.items(), intervals, strict=True):
        values, limits = correlation[inside], ceiling[inside]
        able = limits > CEILING_EDGES[1]
        share = np.median(values[able] / np.sqrt(limits[able] / 100)) if able.any() else np.nan
        centres = float(np.median(limits)), float(values.mean())
        n_images = len(found.predicted)
        rows.append((name, len(values), n_images, *centres, float(low), float(high), float(share)))
    return pd.DataFrame(rows, columns=list(ENCODER_COLUMNS))
