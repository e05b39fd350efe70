"""What a BIT predicts for the test images of a shard (section 3.1).

Where a test image has several trials they are averaged before decoding (released code), or, with
`nsd.average_test_repeats` off, decoded one by one and the predicted tokens averaged.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.models.brain_mlp import LoadedMlp, load_mlp
from brainit.models.brain_transformer import LoadedBit, load_bit, require_same_settings
from brainit.reconstruction.parts import block_size, parse_shard, shard_of


@dataclass(frozen=True)
class DecodingJob:
    """One job: a shard "k/n" of the test images of `subject`, decoded by the BIT at `bit`."""

    subject: str
    betas: Path
    trials: Path
    bit: Path
    shard: str
    weights_dir: Path | None = None


def shard_fmri(job: DecodingJob, settings: Settings) -> tuple[SubjectFmri, NDArray[np.int64]]:
    """Return the test responses of the job's subject and the `nsd_id` of its shard's images."""
    fmri = load_subject_fmri(
        job.subject,
        job.betas,
        job.trials,
        splits=("test",),
        duration="40h",
        average=settings.nsd.average_test_repeats,
    )
    images = np.unique(fmri.nsd_id)[: settings.recon.max_images]
    number, n_shards = parse_shard(job.shard)
    return fmri, shard_of(images, number, n_shards, block_size(settings))


def load_job_bit(
    job: DecodingJob, kind: str, n_voxels: int, settings: Settings
) -> LoadedBit | LoadedMlp:
    """Load the job's BIT, or the MLP that settings have in its place, onto the run's device.

    Raises `PipelineError` where it is of another kind or of other settings, or does not know the
    subject's voxels.
    """
    bit: LoadedBit | LoadedMlp
    if kind == "lowlevel" and settings.bit_lowlevel.decoder == "mlp":
        bit = load_mlp(job.bit)
    else:
        bit = load_bit(job.bit)
        require_same_settings(job.bit, bit.attributes, settings.bit, kind)
    voxels = bit.subjects.get(job.subject)
    found = None if voxels is None else voxels.stop - voxels.start
    known = {name: place.stop - place.start for name, place in bit.subjects.items()}
    if found != n_voxels:
        raise PipelineError(
            job.bit,
            f"a {kind} BIT of {job.subject} with {n_voxels} voxels",
            f"a BIT of {known}",
            "rerun the training of this BIT on these betas",
        )
    bit.model.to(run_device(settings)).eval()
    return bit


def predict_tokens(
    bit: LoadedBit | LoadedMlp,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    batch: int,
    device: torch.device,
) -> Float[Tensor, "images queries out"]:
    """Return the predicted tokens of `images` (their `nsd_id`), `batch` images at a time.

    Examples of one image are decoded one by one and their tokens averaged.
    """
    tokens = [
        _predict_batch(bit, fmri, images[start:stop], device)
        for start, stop in shard_ranges(len(images), batch)
    ]
    return torch.cat(tokens)


@torch.no_grad()
def _predict_batch(
    bit: LoadedBit | LoadedMlp,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    device: torch.device,
) -> Float[Tensor, "images queries out"]:
    rows = [np.flatnonzero(fmri.nsd_id == image) for image in images]
    betas = torch.from_numpy(fmri.betas[np.concatenate(rows)].astype(np.float32)).to(device)
    predicted: Tensor = bit.model(betas, bit.subjects[fmri.subject])
    groups = torch.split(predicted, [len(group) for group in rows])
    return torch.stack([group.mean(0) for group in groups])
