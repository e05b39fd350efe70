"""Cost of ridge: seconds of its algebra, its memory, the bytes of its predictions.

n training rows, v voxels, q outputs. `models.baselines.ridge` says what is in memory when.
"""

import math

from brainit.commands.dry_run import Job
from brainit.commands.plan.models import known, target_shape
from brainit.commands.plan.sizes import Sizes
from brainit.models.baselines import MOST_LEFT_OUT
from brainit.workflow.runs import Duration

VGG_IMAGE_TFLOP = 0.0078
"""One image's VGG features."""
_CPU_TFLOPS = 0.2
"""Sustained rate of eight cores in float64, for the algebra, which does not use the GPU."""
_VGG_VALUES = {"vgg16_bn": 1_530_368, "demo_vgg_bn": 15_616}
"""Values of the five maps; a test reads the networks' own."""
_IMAGES_PER_NSD_SESSION = 225
"""Own images that a session adds; each is shown three times."""


def n_images(sizes: Sizes, job: Job) -> float:
    """Return the images of a subject that are fitted or choose the penalty; at most its trials."""
    duration = Duration.parse(job.wildcard("duration"))
    if _is_new(sizes, job):
        return duration.n_trials
    if job.subject in sizes.folders:
        return sizes.folders[job.subject].n_training
    if sizes.is_simulated:
        return sizes.settings.simulation.n_own_images
    return _IMAGES_PER_NSD_SESSION * sizes.n_sessions(job.subject)


def n_rows(sizes: Sizes, job: Job) -> float:
    """Return the training rows: averaged images or trials of a pool's subject, else all trials."""
    if _is_new(sizes, job):
        return n_images(sizes, job)
    nsd = sizes.settings.nsd
    repeats = 1 if nsd.average_training_repeats else 3
    return (1 - nsd.validation_share) * n_images(sizes, job) * repeats


def n_outputs(sizes: Sizes, job: Job) -> int:
    """Return the outputs that are predicted for an image.

    Raises `PipelineError` for a network whose features are not known.
    """
    baselines, features = sizes.settings.baselines, sizes.settings.features
    if job.wildcard("kind") == "semantic":
        return math.prod(target_shape(features.semantic_tokens))
    if baselines.lowlevel == "pixels":
        return 3 * baselines.pixel_side**2
    return known(_VGG_VALUES, features.vgg, "features")


def algebra_seconds(sizes: Sizes, job: Job) -> float:
    """Return the seconds of decomposition and products on eight cores.

    2 n v m for the product of responses, 9 m^3 for its eigenvectors, where m is the smaller of n
    and v, and 2 n q for each test or held-out image.
    """
    n, v, q = n_rows(sizes, job), sizes.n_voxels(job.subject), n_outputs(sizes, job)
    m = min(n, v)
    flop = 2 * n * v * m + 9 * m**3 + 2 * n * q * _n_predicted(sizes, job)
    return flop / (_CPU_TFLOPS * 1e12)


def memory_bytes(sizes: Sizes, job: Job) -> float:
    """Return the most memory: of the decomposition, or of the predictions after it."""
    n, v, q = n_rows(sizes, job), sizes.n_voxels(job.subject), n_outputs(sizes, job)
    responses, square = 2 * n * v, 8 * min(n, v) ** 2
    predicted = 4 * _n_predicted(sizes, job) * (n + q)
    return responses + max(2 * square, square + predicted)


def prediction_bytes(sizes: Sizes, job: Job) -> float:
    """Return the bytes of the predictions, float16, of all test images."""
    return 2 * _n_test(sizes) * n_outputs(sizes, job)


def _is_new(sizes: Sizes, job: Job) -> bool:
    is_lab = job.subject in sizes.settings.lab.root
    is_outside = is_lab and job.subject not in sizes.settings.nsd.subjects
    return is_outside or not Duration.parse(job.wildcard("duration")).is_full


def _n_test(sizes: Sizes) -> int:
    return sizes.settings.simulation.n_shared_images if sizes.is_simulated else 1000


def _n_predicted(sizes: Sizes, job: Job) -> float:
    """Return the test images, with the held-out images that rescale tokens."""
    held_out = min(n_images(sizes, job), MOST_LEFT_OUT) if job.wildcard("kind") == "semantic" else 0
    return _n_test(sizes) + held_out
