"""Ridge on one subject's responses: predicted features of its test images (a blind baseline).

The training trials are those of Brain-IT's own run. Models of a pool: the subject's training
images, averaged as `nsd.average_training_repeats` says; the penalty is the best on its validation
images. A new subject: all trials within the duration, one by one; it has no validation images, so
each image is left out with all its repeats (`held_out`).

All outputs of a part of the targets (the tokens, each VGG map, the pixels) share a penalty, chosen
on `baselines.alpha_outputs` of them: targets pass twice, first these outputs, then all.

Ridge shrinks. Predicted tokens get the training tokens' deviation by held-out predictions
(`baselines.rescale`), which the generator needs. Pixels stay: they are scored by their error and
correlation with the image, for which the shrunken mean is best, and rescaling adds noise. VGG maps
stay, too: they are fitted by least squares already. Repeats of a held-out image are averaged as
those of a test image are; a new subject's images have fewer, so that its tokens stay slightly
shrunken.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.core.streams import numpy_generator
from brainit.data.fmri import SubjectFmri, load_pool, load_subject_fmri
from brainit.models.baselines import MOST_LEFT_OUT
from brainit.models.baselines.held_out import (
    ByImage,
    LeftOutRows,
    ValidationRows,
    held_out_errors,
)
from brainit.models.baselines.predictions import Predictions
from brainit.models.baselines.ridge import Ridge, fit_ridge
from brainit.models.baselines.streaming import (
    Moments,
    StreamedProducts,
    rescaled,
    weights_by_image,
)
from brainit.models.baselines.targets import Targets, open_targets

logger = logging.getLogger(__name__)

_IMAGES_PER_BLOCK = 64


@dataclass(frozen=True)
class RidgeJob:
    """Which features of which subject's test images, from which responses."""

    subject: str
    """name of the subject, such as subj01"""
    kind: Literal["lowlevel", "semantic"]
    """features: of the low-level or of the semantic images"""
    duration: str
    """part of the subject's data: 15min, 30min, 450trials, 1h ... 40h"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    stimuli: Path
    """folder of the stimuli"""
    tokens: Path | None = None
    """cached semantic tokens of the stimuli"""
    weights_dir: Path | None = field(default=None, metadata={"flag": "weights"})
    """folder of published weights"""
    is_new: bool = field(default=False, metadata={"flag": "new-subject"})
    """fit all trials of the duration, as transfer to a new subject does"""


@dataclass(frozen=True)
class _Fit:
    """A fitted decomposition, its training images by row, and images to choose the penalty by."""

    ridge: Ridge
    nsd_id: NDArray[np.int64]
    held_out: ByImage


def predict_by_ridge(job: RidgeJob, settings: Settings) -> Predictions:
    """Return the predicted features of all test images of the job's subject.

    Raises `PipelineError` where there are no trials, no validation images, or responses that do not
    vary.
    """
    fit = _fit(job, settings)
    test = load_subject_fmri(job.subject, job.betas, job.trials, ("test",), "40h", average=True)
    targets = open_targets(job.kind, job.stimuli, job.tokens, job.weights_dir, settings)
    alphas = _choose_alphas(fit, targets, job, settings)
    is_rescaled = job.kind == "semantic" and settings.baselines.rescale == "validation"
    values = _predict(fit, test, targets, alphas, is_rescaled)
    attributes = {
        "subject": job.subject,
        "kind": job.kind,
        "network": targets.network,
        "duration": job.duration,
        "seed": settings.run.seed,
        "alphas": alphas,
        "rescaled": is_rescaled,
        "n_training_rows": fit.ridge.n_rows,
    }
    return Predictions(test.nsd_id, values.reshape(-1, *targets.shape), attributes)


def _fit(job: RidgeJob, settings: Settings) -> _Fit:
    """Decompose the training responses and choose the images that are held out."""
    if not job.is_new:
        paths = {job.subject: job.betas}, {job.subject: job.trials}
        pool = load_pool(*paths, settings.nsd, job.duration, settings.run.seed)
        train, val = pool.train[job.subject], pool.val[job.subject]
        ridge = fit_ridge(train.betas)
        held_out = ByImage(ValidationRows(ridge, val.betas), val.nsd_id)
        return _Fit(ridge, train.nsd_id, held_out)
    train = load_subject_fmri(
        job.subject, job.betas, job.trials, ("train", "val"), job.duration, average=False
    )
    ridge = fit_ridge(train.betas)
    rows = _left_out_rows(train, job, settings)
    return _Fit(
        ridge, train.nsd_id, ByImage(LeftOutRows(ridge, train.nsd_id, rows), train.nsd_id[rows])
    )


def _left_out_rows(train: SubjectFmri, job: RidgeJob, settings: Settings) -> NDArray[np.int64]:
    """Return the rows of at most `MOST_LEFT_OUT` images."""
    images = np.unique(train.nsd_id)
    if len(images) > MOST_LEFT_OUT:
        draw = numpy_generator(settings.run.seed, "ridge_left_out", job.subject, job.duration)
        images = draw.choice(images, MOST_LEFT_OUT, replace=False)
    return np.flatnonzero(np.isin(train.nsd_id, images))


def _choose_alphas(fit: _Fit, targets: Targets, job: RidgeJob, settings: Settings) -> list[float]:
    """Return the penalty of each part of the targets: the least error on held-out images."""
    sampled = [
        _sampled_outputs(part, job.kind, number, settings)
        for number, part in enumerate(targets.slices)
    ]
    columns = np.concatenate(sampled)
    known, row = np.unique(fit.nsd_id, return_inverse=True)
    of_training = np.concatenate([t[:, columns] for t in _passing(targets, known)])[row]
    of_held_out = np.concatenate([t[:, columns] for t in _passing(targets, fit.held_out.images)])
    multiples = settings.baselines.alphas
    alphas = [factor * fit.ridge.mean_eigenvalue for factor in multiples]
    errors = held_out_errors(fit.held_out, of_training, of_held_out, alphas)
    chosen = []
    stops = np.cumsum([len(part) for part in sampled])[:-1]
    for number, of_part in enumerate(np.split(errors, stops, axis=1)):
        means = of_part.mean(1)
        best = int(means.argmin())
        chosen.append(float(alphas[best]))
        _report(f"{job.kind} {number}", multiples, best, means)
    return chosen


def _sampled_outputs(part: slice, kind: str, number: int, settings: Settings) -> NDArray[np.int64]:
    """Draw the outputs that choose the penalty of a part."""
    n_outputs = part.stop - part.start
    n_drawn = min(n_outputs, settings.baselines.alpha_outputs)
    draw = numpy_generator(settings.run.seed, "ridge_outputs", kind, number)
    return np.sort(draw.choice(n_outputs, n_drawn, replace=False)) + part.start


def _report(
    part: str, multiples: tuple[float, ...], best: int, errors: NDArray[np.float64]
) -> None:
    logger.info(
        "%s: penalty %g times the mean eigenvalue, held-out error %.4g",
        part,
        multiples[best],
        errors[best],
    )
    if best in (0, len(multiples) - 1):
        logger.warning("%s: the penalty is at an end of baselines.alphas; extend them", part)


def _predict(
    fit: _Fit, test: SubjectFmri, targets: Targets, alphas: list[float], is_rescaled: bool
) -> NDArray[np.float32]:
    """Return the predicted targets (test images, outputs), with all targets passing once."""
    coordinates = fit.ridge.coordinates(test.betas)
    known, n_rows = np.unique(fit.nsd_id, return_counts=True)
    by_alpha: dict[float, NDArray[np.float32]] = {}
    for alpha in dict.fromkeys(alphas):
        parts = [fit.ridge.weights(coordinates, alpha)]
        parts += [fit.held_out.weights(alpha)] if is_rescaled else []
        by_alpha[alpha] = weights_by_image(np.concatenate(parts), fit.nsd_id, known)
    n_outputs = targets.slices[-1].stop
    products = StreamedProducts([by_alpha[a] for a in alphas], targets.slices, n_outputs)
    moments: Moments | None = None
    counts = iter(np.split(n_rows, range(_IMAGES_PER_BLOCK, len(known), _IMAGES_PER_BLOCK)))
    for block in _passing(targets, known):
        products.add(block)
        if is_rescaled:
            of_block = Moments.of(block, next(counts))
            moments = of_block if moments is None else moments.merged(of_block)
    predicted, held_out = np.split(products.values, [len(test.nsd_id)])
    return predicted if moments is None else rescaled(predicted, Moments.of(held_out), moments)


def _passing(targets: Targets, images: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Yield the targets of consecutive images."""
    ranges = shard_ranges(len(images), _IMAGES_PER_BLOCK)
    for start, stop in progress(ranges, "targets of ridge", unit="block"):
        yield targets.of(images[start:stop])
