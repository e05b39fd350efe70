"""Predicted features of the test images of a shard (section 3.1).

A decoder predicts them from the responses. Ridge keeps no weights, which would take 63 GB of one
subject: its predictions of all test images are read from a file (`models.baselines`).

Several trials of a test image are averaged before decoding (released code); without
`nsd.average_test_repeats` they are decoded one by one and the predicted tokens averaged.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.models.baselines.predictions import StoredPredictions
from brainit.models.brain_decoder import Decoder, counts_of
from brainit.models.decoders import load_decoder_of
from brainit.reconstruction.batches import fixed_batches
from brainit.reconstruction.parts import block_size, parse_shard, shard_of


@dataclass(frozen=True)
class DecodingJob:
    """One job: a shard of a subject's test images, and the decoder of its responses.

    Or, without betas, trials and decoder, the features that ridge predicted.
    """

    subject: str
    """name of the subject, such as subj01"""
    betas: Path | None = None
    """its betas"""
    trials: Path | None = None
    """its trial table"""
    bit: Path | None = None
    """decoder: low-level, or semantic after stage 2"""
    shard: str = "0/1"
    """k/n: shard k, from 0, of n"""
    weights_dir: Path | None = field(default=None, metadata={"flag": "weights"})
    """folder of published weights"""
    predicted: Path | None = None
    """folder of predicted features, instead of betas, trials and decoder"""

    def __post_init__(self) -> None:
        """Raise `PipelineError` for predicted features beside responses or a decoder."""
        given = [name for name in ("betas", "trials", "bit") if getattr(self, name) is not None]
        if self.predicted is not None and given:
            raise PipelineError(
                "arguments",
                "--predicted alone, or --betas, --trials and --bit",
                f"--predicted and {', '.join(f'--{name}' for name in given)}",
                f"leave out --predicted, or leave out {', '.join(f'--{name}' for name in given)}",
                code="invalid-argument",
            )

    @property
    def responses(self) -> tuple[Path, Path, Path]:
        """Betas, trials and decoder; raises `PipelineError` where one of them is missing."""
        if self.betas is None or self.trials is None or self.bit is None:
            raise PipelineError(
                "arguments",
                "--betas, --trials and --bit, or --predicted",
                "only some of them",
                "give the responses and their decoder, or the folder of predicted features",
                code="invalid-argument",
            )
        return self.betas, self.trials, self.bit


@dataclass(frozen=True)
class ReconOutput:
    """Where the reconstructions of a shard go."""

    out: Path
    """shard to write"""


def shard_fmri(job: DecodingJob, settings: Settings) -> tuple[SubjectFmri, NDArray[np.int64]]:
    """Return the test responses of the job's subject and the `nsd_id` of its shard's images."""
    betas, trials, _ = job.responses
    fmri = load_subject_fmri(
        job.subject,
        betas,
        trials,
        splits=("test",),
        duration="40h",
        average=settings.nsd.average_test_repeats,
    )
    return fmri, _images_of_shard(np.unique(fmri.nsd_id), job, settings)


def shard_predictions(
    job: DecodingJob, kind: str, settings: Settings
) -> tuple[StoredPredictions, NDArray[np.int64]]:
    """Return the stored features of the job's subject and the `nsd_id` of its shard's images.

    Raises `PipelineError` where they are of another subject or kind.
    """
    assert job.predicted is not None
    stored = StoredPredictions(job.predicted, job.subject, kind)
    return stored, _images_of_shard(stored.nsd_id, job, settings)


def _images_of_shard(
    images: NDArray[np.int64], job: DecodingJob, settings: Settings
) -> NDArray[np.int64]:
    number, n_shards = parse_shard(job.shard)
    chosen = images[: settings.recon.max_images]
    return shard_of(chosen, number, n_shards, block_size(settings))


def load_job_decoder(job: DecodingJob, kind: str, n_voxels: int, settings: Settings) -> Decoder:
    """Load the job's decoder of `kind` onto the run's device.

    Raises `PipelineError` where it is of another kind or of other settings, or does not know the
    subject's voxels.
    """
    _, _, path = job.responses
    decoder = load_decoder_of(path, settings, kind)
    known = counts_of(decoder.subjects)
    if known.get(job.subject) != n_voxels:
        raise PipelineError(
            path,
            f"a {kind} decoder of {job.subject} with {n_voxels} voxels",
            f"a decoder of {known}",
            "rerun the training of this decoder on these betas",
            code="inconsistent-inputs",
        )
    return decoder.to(run_device(settings))


def predict_tokens(
    decoder: Decoder,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    batch: int,
    device: torch.device,
) -> Float[Tensor, "images queries out"]:
    """Return the predicted tokens of `images` (their `nsd_id`), `batch` responses at a time.

    Responses to one image are decoded one by one and their tokens averaged, then calibrated where
    the decoder has a calibration. Raises `PipelineError` for an image without a response.
    """
    rows = [np.flatnonzero(fmri.nsd_id == image) for image in images]
    missing = [int(image) for image, own in zip(images, rows, strict=True) if not len(own)]
    if missing:
        raise PipelineError(
            f"responses of {fmri.subject}",
            f"a response to each of {len(images)} images",
            f"none to image {missing[0]} and {len(missing) - 1} others",
            "choose images that the subject saw",
            code="missing-data",
        )
    parts = []  # tokens of single responses are held of one batch of images at a time
    for start in range(0, len(rows), batch):
        own = rows[start : start + batch]
        tokens = _tokens_of_rows(decoder, fmri, np.concatenate(own), batch, device)
        groups = torch.split(tokens, [len(group) for group in own])
        parts += [group.mean(0, keepdim=True) if len(group) > 1 else group for group in groups]
    tokens = torch.cat(parts)
    return tokens if decoder.calibration is None else decoder.calibration.apply(tokens)


@torch.no_grad()
def _tokens_of_rows(
    decoder: Decoder,
    fmri: SubjectFmri,
    rows: NDArray[np.int64],
    batch: int,
    device: torch.device,
) -> Float[Tensor, "rows queries out"]:
    tokens = []
    for part in fixed_batches(len(rows), batch):
        betas = torch.from_numpy(fmri.betas[rows[part.rows]].astype(np.float32)).to(device)
        tokens.append(decoder.predict_tokens(fmri.subject, betas)[: part.n_kept])
    return torch.cat(tokens)
