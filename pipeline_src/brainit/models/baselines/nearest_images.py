"""The nearest training image of each test response: a reconstruction without any model.

Training images are those of Brain-IT's own run: a subject's training images, or for a new subject
all images within the duration; repeats are averaged. Ranked by correlation of responses.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from brainit.core.settings import Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.pixels import PixelStore
from brainit.models.baselines.nearest import nearest_rows

_IMAGES_PER_BLOCK = 64


@dataclass(frozen=True)
class NearestJob:
    """A subject's responses, and the stimuli they are responses to."""

    subject: str
    """name of the subject, such as subj01"""
    duration: str
    """part of the subject's data: 15min, 30min, 450trials, 1h ... 40h"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    stimuli: Path
    """folder of the stimuli"""
    is_new: bool = field(default=False, metadata={"flag": "new-subject"})
    """pick from all images of the duration, validation images too, as transfer does"""


def nearest_images(
    job: NearestJob, settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the `nsd_id` of the test images and their reconstructions (images, side, side, rgb).

    A reconstruction is the mean of the `baselines.k` training images with the nearest responses.
    Raises `PipelineError` where there are no trials.
    """
    splits = ("train", "val") if job.is_new else ("train",)
    files = job.subject, job.betas, job.trials
    train = load_subject_fmri(*files, splits, job.duration, average=True)
    test = load_subject_fmri(*files, ("test",), "40h", average=True)
    n_images = len(test.nsd_id[: settings.recon.max_images])
    with threadpool_limits(settings.run.threads, "blas"):
        rows = nearest_rows(test.betas[:n_images], train.betas, settings.baselines.k)
    store = PixelStore(job.stimuli)
    pictures = []
    for start in range(0, n_images, _IMAGES_PER_BLOCK):
        nearest = train.nsd_id[rows[start : start + _IMAGES_PER_BLOCK]]
        found = store.pixels(nearest.ravel()).astype(np.float32)
        means = found.reshape(*nearest.shape, *found.shape[1:]).mean(1)
        pictures.append(means.round().astype(np.uint8))
    return test.nsd_id[:n_images], np.concatenate(pictures)
