"""Low-level images: predicted VGG tokens become feature maps that a DIP inverts (3.2, D.2).

Of ridge's predictions, maps are inverted in the same way, and pixels are the image.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri
from brainit.data.images import resize_images, to_uint8
from brainit.features.registry import load_backbone
from brainit.features.vgg import VggTokenLayout, tokens_to_maps
from brainit.models.baselines.targets import PIXELS, maps_of
from brainit.models.brain_decoder import Decoder
from brainit.reconstruction.batches import fixed_batches
from brainit.reconstruction.dip import invert_chunk
from brainit.reconstruction.parts import Part, empty_part, part_attributes
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_decoder,
    predict_tokens,
    shard_fmri,
    shard_predictions,
)


def reconstruct_lowlevel(job: DecodingJob, settings: Settings) -> Part:
    """Return the low-level images of the job's shard, of side `dip.size`.

    Tokens are predicted and inverted chunk by chunk: those of all images would fill the memory.
    Raises `PipelineError` where the decoder is no low-level decoder of these voxels, or the
    predicted features are of another network.
    """
    if job.predicted is not None:
        return _predicted_images(job, settings)
    fmri, images = shard_fmri(job, settings)
    models = {"bit_lowlevel": job.responses[-1]}
    attributes = part_attributes(job.subject, "lowlevel", settings, models)
    if not len(images):
        return empty_part(settings.dip.size, attributes)
    device = run_device(settings)
    decoder = load_job_decoder(job, "lowlevel", fmri.n_voxels, settings)
    vgg: Any = load_backbone("vgg", settings.features.vgg, job.weights_dir).to(device)
    return Part(images, lowlevel_images(decoder, vgg, fmri, images, settings), attributes)


def lowlevel_images(
    decoder: Decoder,
    vgg: Any,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """Return the low-level images (images, side, side, rgb) of the responses to `images`.

    `vgg` is the network of the role `vgg`; decoder and network are on the run's device.
    """
    device = run_device(settings)
    layout = VggTokenLayout(vgg.channels, vgg.map_sizes)
    batch = min(settings.recon.batch, settings.dip.chunk)

    def maps_of_chunk(ids: NDArray[np.int64]) -> list[Tensor]:
        tokens = predict_tokens(decoder, fmri, ids, batch, device)
        return tokens_to_maps(tokens, layout)

    return _inverted(maps_of_chunk, vgg, images, settings)


def _inverted(
    maps_of_chunk: Callable[[NDArray[np.int64]], Sequence[Tensor]],
    vgg: Any,
    images: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """Invert the maps of `images` in chunks of one size."""
    device, pictures = run_device(settings), []
    chunks = fixed_batches(len(images), settings.dip.chunk)
    for chunk in progress(chunks, "low-level images", unit="chunk"):
        ids = images[chunk.rows]
        maps = maps_of_chunk(ids)
        inverted = invert_chunk(maps, ids.tolist(), vgg, settings.dip, settings.run.seed, device)
        pictures.append(to_uint8(inverted[: chunk.n_kept]))
    return np.concatenate(pictures)


def _predicted_images(job: DecodingJob, settings: Settings) -> Part:
    """Return the low-level images of ridge's predictions: pixels, or maps to be inverted."""
    stored, images = shard_predictions(job, "lowlevel", settings)
    models = {"ridge_lowlevel": stored.model}
    attributes = part_attributes(job.subject, "lowlevel", settings, models)
    if not len(images):
        return empty_part(settings.dip.size, attributes)
    if stored.network == PIXELS:
        pixels = torch.from_numpy(stored.of(images)).clamp(0, 1)
        return Part(images, to_uint8(resize_images(pixels, settings.dip.size)), attributes)
    if stored.network != settings.features.vgg:
        raise PipelineError(
            stored.folder,
            f"predicted maps of {settings.features.vgg}, or {PIXELS}",
            f"those of {stored.network}",
            "delete the folder and rerun predict_ridge",
            code="wrong-settings",
        )
    device = run_device(settings)
    vgg: Any = load_backbone("vgg", stored.network, job.weights_dir).to(device)

    def maps_of_chunk(ids: NDArray[np.int64]) -> list[Tensor]:
        return maps_of(torch.from_numpy(stored.of(ids)).to(device), vgg)

    return Part(images, _inverted(maps_of_chunk, vgg, images, settings), attributes)
