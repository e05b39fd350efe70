"""Weights of voxels for brain-consistent search: the encoder's accuracy on validation images.

Only validation trials count, so no test image and no test response decides a weight. Those of a new
subject also trained its voxel embeddings, since transfer holds out nothing (paper D.4).
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.device import encoder_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.data.images import ImageStore
from brainit.models.response_fit import weights_of_accuracy, write_weights
from brainit.models.voxel_encoder import VoxelEncoder, load_encoder
from brainit.reconstruction.batches import fixed_batches
from brainit.training.encoder import voxel_correlation

_BATCH = 64
_FEWEST_IMAGES = 3
"""Of two images each correlation is 1 or -1."""


@dataclass(frozen=True)
class WeightsJob:
    """Whose voxels are weighed, and by which encoder."""

    subject: str
    """name of the subject, such as subj01"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    stimuli: Path
    """folder of the stimuli, of which validation images are read"""
    encoder: Path
    """encoder that knows the subject"""
    out: Path
    """weights to write"""
    duration: str = "40h"
    """part of its data: 15min, 30min, 450trials, 1h ... 40h"""
    weights_dir: Path | None = field(default=None, metadata={"flag": "weights"})
    """folder of published weights"""


def weigh_voxels(job: WeightsJob, settings: Settings) -> None:
    """Write the weight of each voxel of the job's subject.

    Raises `PipelineError` where the encoder does not know the subject, with fewer than three
    validation images, and where the encoder predicts no voxel.
    """
    fmri = load_subject_fmri(job.subject, job.betas, job.trials, ("val",), job.duration, True)
    if len(fmri.nsd_id) < _FEWEST_IMAGES:
        raise PipelineError(
            job.trials,
            f"at least {_FEWEST_IMAGES} validation images within {job.duration}",
            str(len(fmri.nsd_id)),
            "search with more of the subject's data, or raise nsd.validation_share",
            code="missing-data",
        )
    encoder = open_encoder(job.encoder, fmri, job.weights_dir, settings)
    weights = accuracy_weights(encoder, fmri, ImageStore(job.stimuli))
    if not weights.any():
        raise PipelineError(
            job.encoder,
            "an encoder that predicts some voxels of the validation images",
            "no correlation above 0",
            "rerun train_encoder, with more encoder.epochs or images",
            code="not-converged",
        )
    write_weights(job.out, weights, job.subject, len(fmri.nsd_id), job.encoder)


def accuracy_weights(
    encoder: VoxelEncoder, fmri: SubjectFmri, images: ImageStore
) -> NDArray[np.float32]:
    """Return max(0, r) of each voxel, r its correlation over the images of `fmri`."""
    device = encoder.voxel_embedding.device
    voxels = encoder.hoist(encoder.voxel_slice(fmri.subject))
    predicted = torch.cat(
        [
            encoder.predict(images.images(fmri.nsd_id[b.rows]).to(device), voxels)[: b.n_kept]
            for b in fixed_batches(len(fmri.nsd_id), _BATCH)
        ]
    )
    measured = torch.from_numpy(fmri.betas.astype(np.float32)).to(device)
    return weights_of_accuracy(voxel_correlation(predicted, measured))


def open_encoder(
    path: Path, fmri: SubjectFmri, weights_dir: Path | None, settings: Settings
) -> VoxelEncoder:
    """Load an encoder onto the run's device, in the run's precision.

    Raises `PipelineError` where it does not know the voxels of `fmri`.
    """
    device = run_device(settings)
    encoder = load_encoder(path, settings.features, weights_dir).to(device).eval()
    encoder.use_precision(encoder_precision(settings, device))
    if encoder.n_voxels.get(fmri.subject) != fmri.n_voxels:
        raise PipelineError(
            path,
            f"an encoder of {fmri.subject} with {fmri.n_voxels} voxels",
            f"voxels by subject {encoder.n_voxels}",
            f"give the encoder of a pool with {fmri.subject}, or of its transfer",
            code="inconsistent-inputs",
        )
    return encoder
