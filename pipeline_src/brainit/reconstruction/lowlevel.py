"""Low-level images: predicted VGG tokens become feature maps that a DIP inverts (3.2, D.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.device import run_device
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.data.fmri import SubjectFmri
from brainit.data.images import to_uint8
from brainit.features.registry import load_backbone
from brainit.features.vgg import VggTokenLayout, tokens_to_maps
from brainit.models.brain_decoder import Decoder
from brainit.reconstruction.dip import invert_chunk
from brainit.reconstruction.parts import Part, empty_part, part_attributes
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_decoder,
    predict_tokens,
    shard_fmri,
)


def reconstruct_lowlevel(job: DecodingJob, settings: Settings) -> Part:
    """Return the low-level images of the job's shard, of side `dip.size`.

    Tokens are predicted and inverted chunk by chunk: those of all images would fill the memory.
    Raises `PipelineError` where the decoder is no low-level decoder of these voxels.
    """
    fmri, images = shard_fmri(job, settings)
    attributes = part_attributes(job.subject, "lowlevel", settings, {"bit_lowlevel": job.bit})
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
    pictures = []
    chunks = shard_ranges(len(images), settings.dip.chunk)
    for start, stop in progress(chunks, "low-level images", unit="chunk"):
        ids = images[start:stop]
        tokens = predict_tokens(decoder, fmri, ids, settings.recon.batch, device)
        if decoder.calibration is not None:
            tokens = decoder.calibration.apply(tokens)
        maps = tokens_to_maps(tokens, layout)
        inverted = invert_chunk(maps, ids.tolist(), vgg, settings.dip, settings.run.seed, device)
        pictures.append(to_uint8(inverted))
    return np.concatenate(pictures)
