"""Identification: which candidate image was seen, from responses (Kay et al. 2008).

An encoder predicts each candidate's response pattern; the measured pattern asks for the candidate
whose prediction correlates best with it over voxels. The other direction, in which an image asks
among the brains, is scored on the same matrix turned.

MindEye2's printed columns are the other way round than their names say: its "image" column, "fwd",
is image asks among brains.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.core.streams import numpy_generator
from brainit.evaluation.encoder import EncoderPredictions, predict_test_responses
from brainit.evaluation.metrics.names import BRAIN_ASKS, IDENTIFIED, IMAGE_ASKS
from brainit.models.baselines.nearest import correlations
from brainit.models.baselines.predictions import StoredPredictions
from brainit.models.baselines.targets import Targets, open_targets
from brainit.models.peers.predict import RETRIEVAL

_IMAGES_PER_BLOCK = 64


def ranks(similarity: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rank of each row's own column, 1 the best: 1 + the number of larger ones.

    `similarity` (asked, candidates) is square, with the own candidate on the diagonal.
    """
    own = np.diag(similarity)[:, None]
    found: NDArray[np.int64] = 1 + (similarity > own).sum(1)
    return found


def top1_of_pool(similarity: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Return the chance (rows,) that the own candidate wins among `k` with random others.

    Exact, without drawing: with w candidates worse than the own one among N,
    C(w, k - 1) / C(N - 1, k - 1). `k` = 2 is two-way identification. Ties count as losses.
    """
    n = len(similarity)
    worse = (similarity < np.diag(similarity)[:, None]).sum(1)
    chance = np.ones(n)
    for drawn in range(k - 1):
        chance *= np.maximum(worse - drawn, 0) / (n - 1 - drawn)
    return chance


def response_similarity(
    measured: NDArray[Any], predicted: NDArray[Any], voxels: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the correlation over voxels of measured (rows) with predicted patterns (columns).

    `voxels` are those that count, None all. They may not be chosen by these trials.
    """
    if voxels is not None:
        measured, predicted = measured[:, voxels], predicted[:, voxels]
    return correlations(measured, predicted)


def centred_over_images(patterns: NDArray[Any]) -> NDArray[np.float64]:
    """Return each voxel's z-scores over the candidate images (population deviation).

    It uses the other test images, though no labels: report both ways.
    """
    values = np.asarray(patterns, dtype=np.float64)
    values = values - values.mean(0)
    deviation = values.std(0)
    return np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0)


def feature_similarity(asked: NDArray[Any], candidates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine similarity of features, flattened for each image."""
    return _unit(asked) @ _unit(candidates).T


def _unit(features: NDArray[Any]) -> NDArray[np.float64]:
    flat = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)


POOLS = (2, 50, 100, 300, 1000)
"""Sizes of the pools that are scored where there are as many images; 2 is two-way."""


def identification_rows(
    source: str, similarity: NDArray[Any], settings: Settings
) -> list[tuple[Any, ...]]:
    """Return `IDENTIFIED` of both directions and each pool size, exact, with 95 % intervals.

    Rows of `similarity` are the brains' patterns, columns the images'; intervals resample images.
    """
    n, rows = len(similarity), []
    for direction, matrix in ((BRAIN_ASKS, similarity), (IMAGE_ASKS, similarity.T)):
        median = float(np.median(ranks(matrix)))
        for k in sorted({*(size for size in POOLS if size < n), n}):
            chances = 100 * top1_of_pool(matrix, k)
            draws = numpy_generator(settings.run.seed, "identification", source, direction, k)
            resampled = draws.choice(chances, (settings.evaluation.n_bootstrap, n)).mean(1)
            interval = np.percentile(resampled, (2.5, 97.5))
            ends = (float(interval[0]), float(interval[1]))
            rows.append((source, direction, k, n, float(chances.mean()), *ends, 100 / k, median))
    return rows


def by_encoder(predictions: EncoderPredictions, settings: Settings) -> pd.DataFrame:
    """Return the identification by predicted responses, of all voxels, plain and centred."""
    measured, predicted = (v.numpy() for v in (predictions.measured, predictions.predicted))
    rows = identification_rows("encoder", response_similarity(measured, predicted), settings)
    centred = centred_over_images(measured), centred_over_images(predicted)
    similarity = response_similarity(*centred)
    rows += identification_rows("encoder, voxels centred over test images", similarity, settings)
    return pd.DataFrame(rows, columns=list(IDENTIFIED))


def by_features(
    source: str, predicted: StoredPredictions, targets: Targets, settings: Settings
) -> pd.DataFrame:
    """Return the identification by a decoder's features among the true tokens, by cosine.

    Blocks of images pass by, so that the tokens of all are never in memory.
    """
    images, similarity = predicted.nsd_id, np.empty((len(predicted.nsd_id),) * 2)
    blocks = [slice(a, b) for a, b in shard_ranges(len(images), _IMAGES_PER_BLOCK)]
    for columns in blocks:
        true = targets.of(images[columns])
        for rows in blocks:
            asked = predicted.of(images[rows])
            similarity[rows, columns] = feature_similarity(asked, true)
    return pd.DataFrame(identification_rows(source, similarity, settings), columns=list(IDENTIFIED))


@dataclass(frozen=True)
class IdentifyJob:
    """Whose test images are identified, by an encoder or by a decoder's features."""

    subject: str
    """name of the subject, such as subj01"""
    stimuli: Path
    """folder of the stimuli"""
    encoder: Path | None = None
    """encoder that knows the subject, with betas and trials"""
    betas: Path | None = None
    """its betas"""
    trials: Path | None = None
    """its trial table"""
    features: Path | None = None
    """folder of retrieval features or predicted tokens, instead of an encoder"""
    source: str = "decoder"
    """name of the decoder, for the table"""
    tokens: Path | None = None
    """cached semantic tokens of the stimuli"""
    weights_dir: Path | None = field(default=None, metadata={"flag": "weights"})
    """folder of published weights"""


def identify(job: IdentifyJob, settings: Settings) -> pd.DataFrame:
    """Return the table of identification of the job's test images.

    Raises `PipelineError` for neither or both of an encoder and features, for an encoder or
    features of another subject, and for features of another network.
    """
    if job.features is not None and job.encoder is None:
        kind = RETRIEVAL if job.features.name == RETRIEVAL else "semantic"
        predicted = StoredPredictions(job.features, job.subject, kind)
        expected = settings.features.semantic_tokens
        if predicted.network != expected:
            raise PipelineError(
                job.features,
                f"features of {expected}",
                f"those of {predicted.network}",
                "delete the folder and predict them anew",
                code="wrong-settings",
            )
        targets = open_targets("semantic", job.stimuli, job.tokens, job.weights_dir, settings)
        return by_features(job.source, predicted, targets, settings)
    if job.encoder is None or job.betas is None or job.trials is None or job.features is not None:
        raise PipelineError(
            "arguments",
            "--features alone, or --encoder, --betas and --trials",
            "another choice of them",
            "give the predicted features, or the encoder and the responses",
            code="invalid-argument",
        )
    betas, trials = {job.subject: job.betas}, {job.subject: job.trials}
    (predictions,) = predict_test_responses(
        job.encoder, betas, trials, job.stimuli, job.weights_dir, settings
    )
    return by_encoder(predictions, settings)
