"""Low-level images: BIT's VGG tokens, put back into feature maps, inverted by DIP (3.2, D.2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import SubjectFmri
from brainit.data.images import to_uint8
from brainit.features.registry import load_backbone
from brainit.features.vgg_tokens import VggTokenLayout, tokens_to_maps
from brainit.models.brain_mlp import LoadedMlp
from brainit.models.brain_transformer import LoadedBit
from brainit.reconstruction.dip import invert_chunk
from brainit.reconstruction.parts import Part
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_bit,
    predict_tokens,
    shard_fmri,
)


def reconstruct_lowlevel(job: DecodingJob, settings: Settings) -> Part:
    """Return the low-level images of the job's shard, of side `dip.size`.

    Tokens are predicted and inverted chunk by chunk: those of all images would fill the memory.
    Raises `PipelineError` where the BIT is not a low-level BIT of these voxels.
    """
    fmri, images = shard_fmri(job, settings)
    attributes = part_attributes(job, "lowlevel", settings, {"bit_lowlevel": job.bit})
    if not len(images):
        return empty_part(settings.dip.size, attributes)
    device = run_device(settings)
    bit = load_job_bit(job, "lowlevel", fmri.n_voxels, settings)
    vgg: Any = load_backbone("vgg", settings.features.vgg, job.weights_dir).to(device)
    return Part(images, lowlevel_images(bit, vgg, fmri, images, settings), attributes)


def lowlevel_images(
    bit: LoadedBit | LoadedMlp,
    vgg: Any,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """Return the low-level images (images, side, side, rgb) of the responses to `images`.

    `vgg` is the network of the role `vgg`; BIT and network stand on the run's device.
    """
    device = run_device(settings)
    layout = VggTokenLayout(vgg.channels, vgg.map_sizes)
    pictures = []
    chunks = shard_ranges(len(images), settings.dip.chunk)
    for start, stop in progress(chunks, "low-level images", unit="chunk"):
        ids = images[start:stop]
        tokens = predict_tokens(bit, fmri, ids, settings.recon.batch, device)
        if bit.calibration is not None:
            tokens = bit.calibration.apply(tokens)
        maps = tokens_to_maps(tokens, layout)
        inverted = invert_chunk(maps, ids.tolist(), vgg, settings.dip, settings.run.seed, device)
        pictures.append(to_uint8(inverted))
    return np.concatenate(pictures)


def part_attributes(
    job: DecodingJob, kind: str, settings: Settings, models: Mapping[str, Path]
) -> dict[str, Any]:
    """Return what a shard says of itself: subject, kind, seed, threads, models, settings as told.

    `models` are the files by role; each is recorded with its SHA-256. Raises `PipelineError` where
    one cannot be read.
    """
    sections = {"features": settings.features, "dip": settings.dip, "recon": settings.recon}
    told = {name: section.model_dump(exclude_unset=True) for name, section in sections.items()}
    told["recon"].pop("n_shards", None)
    return {
        "subject": job.subject,
        "kind": kind,
        "seed": settings.run.seed,
        "threads": settings.run.threads,
        "settings": told,
        "models": {role: _model(role, path) for role, path in models.items()},
    }


def _model(role: str, path: Path) -> dict[str, str]:
    try:
        return {"file": str(path), "sha256": sha256_of(path)}
    except OSError as error:
        fix = "run the step that trains it"
        raise PipelineError(path, f"the {role} of the run", str(error), fix) from error


def empty_part(side: int, attributes: dict[str, Any]) -> Part:
    """Return a shard without images, for more jobs than blocks of images."""
    nothing: NDArray[np.uint8] = np.empty((0, side, side, 3), dtype=np.uint8)
    return Part(np.empty(0, dtype=np.int64), nothing, attributes)
