"""Images from the semantic tokens: from noise alone, or from the noised low-level image (3.3, D.3).

An optional refiner comes last (section 3.2); its images are kept at the generator's size.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.device import frozen_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.features.registry import find_entry, load_backbone, require_weights
from brainit.models.generator_file import load_generator
from brainit.reconstruction.lowlevel import empty_part, part_attributes
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_bit,
    predict_tokens,
    shard_fmri,
)
from brainit.reconstruction.refine import refine_images
from brainit.reconstruction.sampling import sample_images
from brainit.reconstruction.shards import Part, read_part, to_uint8


def reconstruct_semantic(
    job: DecodingJob, generator_path: Path, settings: Settings, lowlevel: Path | None = None
) -> Part:
    """Return the images of the job's shard under its semantic tokens.

    `lowlevel` is the shard's low-level images, at which sampling starts (kind "fused"); None starts
    from noise (kind "semantic"). Raises `PipelineError` where the low-level shard holds other
    images, or the BIT or the generator do not fit.
    """
    fmri, images = shard_fmri(job, settings)
    kind = "semantic" if lowlevel is None else "fused"
    attributes = part_attributes(job, kind, settings)
    device = run_device(settings)
    precision = frozen_precision(settings, device)
    start = None if lowlevel is None else _start_images(lowlevel, job.subject, images, device)
    name, refiner_name = settings.features.generator, settings.features.refiner
    if refiner_name != "none":
        require_weights(find_entry(refiner_name, "refiner"), job.weights_dir)
    generator: Any = load_generator(name, generator_path, job.weights_dir)
    generator.use_precision(precision)
    generator.to(device)
    if not len(images):
        return empty_part(generator.image_size, attributes)
    bit = load_job_bit(job, "semantic", fmri.n_voxels, settings)
    tokens = predict_tokens(bit, fmri, images, settings.recon.batch, device)
    pictures = sample_images(
        generator, tokens, images.tolist(), settings.recon, settings.run.seed, start
    )
    if refiner_name != "none":
        del generator, bit, tokens
        refiner: Any = load_backbone("refiner", refiner_name, job.weights_dir)
        refiner.use_precision(precision)
        ids, seed = images.tolist(), settings.run.seed
        pictures = refine_images(refiner.to(device), pictures, ids, settings.recon, seed)
    return Part(images, to_uint8(pictures), attributes)


def _start_images(
    path: Path, subject: str, images: NDArray[np.int64], device: torch.device
) -> torch.Tensor:
    part = read_part(path, "lowlevel", subject)
    if not np.array_equal(part.nsd_id, images):
        raise PipelineError(
            path,
            f"low-level images of the {len(images)} test images of this shard",
            f"{len(part.nsd_id)} images",
            "rerun reconstruct_lowlevel with the same settings",
        )
    pixels = torch.from_numpy(part.image).to(device)
    return pixels.permute(0, 3, 1, 2).float() / 255.0
