"""Images from the semantic tokens by diffusion (3.3, D.3).

Semantic images start from noise alone, fused ones from the noised low-level image, and searched
ones are the best of several samples of either (`brain_search`). An optional
refiner comes last (section 3.2); its images keep the generator's size. The fused shard also holds
the images before the refiner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import frozen_precision, run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri
from brainit.data.images import images_on, to_uint8
from brainit.features.registry import find_entry, load_backbone, require_weights, weights_path
from brainit.models.brain_decoder import Decoder
from brainit.models.generator_file import load_generator
from brainit.reconstruction.brain_search import (
    Chooser,
    ChooserInputs,
    empty_fits,
    search_images,
)
from brainit.reconstruction.parts import Part, empty_part, part_attributes, read_part
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_decoder,
    predict_tokens,
    shard_fmri,
    shard_predictions,
)
from brainit.reconstruction.refine import refine_images
from brainit.reconstruction.sampling import sample_images


@dataclass(frozen=True)
class SemanticInputs:
    """Inputs of semantic images besides the decoder."""

    generator: Path | None = None
    """generator after stage 2; the pretrained one for predicted features"""


@dataclass(frozen=True)
class FusedInputs:
    """Inputs of fused images besides the decoder."""

    lowlevel: Path
    """low-level images of the same shard"""
    generator: Path | None = None
    """generator after stage 2; the pretrained one for predicted features"""


def reconstruct_semantic(job: DecodingJob, inputs: SemanticInputs, settings: Settings) -> Part:
    """Return the images of the job's shard under its semantic tokens, sampled from noise alone.

    Raises `PipelineError` where the decoder or the generator do not fit.
    """
    return _reconstruct(job, inputs.generator, settings, None)


def reconstruct_fused(job: DecodingJob, inputs: FusedInputs, settings: Settings) -> Part:
    """Return the images of the job's shard, sampled from its noised low-level images.

    Raises `PipelineError` where the low-level shard holds other images, or the decoder or the
    generator do not fit.
    """
    return _reconstruct(job, inputs.generator, settings, inputs.lowlevel)


def _reconstruct(
    job: DecodingJob, generator_path: Path | None, settings: Settings, lowlevel: Path | None
) -> Part:
    kind = "semantic" if lowlevel is None else "fused"
    _require_generator(job, generator_path)
    tokens_of, images, models = _tokens_of_shard(job, settings)
    models["generator"] = generator_path or weights_path(
        "generator", settings.features.generator, job.weights_dir
    )
    attributes = part_attributes(job.subject, kind, settings, models)
    start = None if lowlevel is None else _start_images(lowlevel, job.subject, images)
    refiner_name = settings.features.refiner
    if refiner_name != "none":
        require_weights(find_entry(refiner_name, "refiner"), job.weights_dir)
    generator = open_generator(generator_path, job.weights_dir, settings)
    if not len(images):
        return empty_part(generator.image_size, attributes)
    sampled = _sampled(tokens_of(), generator, images, settings, start)
    del generator
    keeps_both = refiner_name != "none" and kind == "fused"
    unrefined = to_uint8(sampled) if keeps_both else None
    final = refined_pixels(sampled, images, job.weights_dir, settings)
    return Part(images, final, attributes, unrefined)


@dataclass(frozen=True)
class SearchInputs:
    """Inputs of searched images besides the decoder and what chooses."""

    lowlevel: Path | None = None
    """low-level images of the same shard; without them the first round starts from noise"""
    generator: Path | None = None
    """generator after stage 2; the pretrained one for predicted features"""


def reconstruct_searched(
    job: DecodingJob, inputs: SearchInputs, choosing: ChooserInputs, settings: Settings
) -> tuple[Part, pd.DataFrame]:
    """Return the images of the job's shard that a brain-consistent search finds, and all fits.

    A refiner comes after the search. Raises `PipelineError` where decoder, generator, low-level
    shard, encoder, weights or responses do not fit.
    """
    _require_generator(job, inputs.generator)
    tokens_of, images, models = _tokens_of_shard(job, settings)
    models |= {
        "generator": inputs.generator
        or weights_path("generator", settings.features.generator, job.weights_dir),
        "search_encoder": choosing.encoder,
        "search_weights": choosing.voxel_weights,
    }
    attributes = part_attributes(job.subject, "fused", settings, models)
    attributes["settings"]["brain_search"] = settings.brain_search.model_dump(exclude_unset=True)
    start = None
    if inputs.lowlevel is not None:
        start = _start_images(inputs.lowlevel, job.subject, images)
    name = settings.features.refiner
    if name != "none":
        require_weights(find_entry(name, "refiner"), job.weights_dir)
    chooser = Chooser.of(choosing, job.subject, job.weights_dir, settings)
    generator = open_generator(inputs.generator, job.weights_dir, settings)
    if not len(images):
        return empty_part(generator.image_size, attributes), empty_fits()
    best, fits = search_images(generator, chooser, tokens_of(), images, start, settings)
    del generator, chooser
    if name == "none":
        return Part(images, best, attributes), fits
    shown = images_on(torch.from_numpy(best), run_device(settings))
    final = refined_pixels(shown, images, job.weights_dir, settings)
    return Part(images, final, attributes, best), fits


def _require_generator(job: DecodingJob, generator: Path | None) -> None:
    """Raise `PipelineError` for the tokens of a BIT without the generator of its stage 2."""
    if generator is None and job.predicted is None:
        raise PipelineError(
            "arguments",
            "--generator for the tokens of a BIT",
            "none",
            "give the generator that stage 2 wrote with this BIT",
            code="invalid-argument",
        )


def _tokens_of_shard(
    job: DecodingJob, settings: Settings
) -> tuple[Callable[[], Tensor], NDArray[np.int64], dict[str, Any]]:
    """Return a function that gives the tokens of the shard's images, these images, and models.

    The function is called once the generator is loaded: a wrong generator is found first.
    """
    if job.predicted is not None:
        stored, images = shard_predictions(job, "semantic", settings)
        return (
            lambda: torch.from_numpy(stored.of(images)).to(run_device(settings)),
            images,
            {"ridge_semantic": stored.model},
        )
    fmri, images = shard_fmri(job, settings)

    def decoded() -> Tensor:
        decoder = load_job_decoder(job, "semantic", fmri.n_voxels, settings)
        return predict_tokens(decoder, fmri, images, settings.recon.batch, run_device(settings))

    return decoded, images, {"bit_semantic": job.responses[-1]}


def open_generator(path: Path | None, weights_dir: Path | None, settings: Settings) -> Any:
    """Load the generator onto the run's device, in the run's precision; None: the pretrained."""
    device = run_device(settings)
    generator: Any = load_generator(settings.features.generator, path, weights_dir)
    generator.use_precision(frozen_precision(settings, device))
    return generator.to(device)


def diffusion_images(
    decoder: Decoder,
    generator: Any,
    fmri: SubjectFmri,
    images: NDArray[np.int64],
    settings: Settings,
    start: NDArray[np.uint8] | None,
) -> Float[Tensor, "images 3 side side"]:
    """Sample images in [0, 1] under the semantic tokens of the responses to `images`.

    `start` are their low-level images (images, side, side, rgb); None starts from noise.
    """
    tokens = predict_tokens(decoder, fmri, images, settings.recon.batch, run_device(settings))
    return _sampled(tokens, generator, images, settings, start)


def _sampled(
    tokens: Float[Tensor, "images queries out"],
    generator: Any,
    images: NDArray[np.int64],
    settings: Settings,
    start: NDArray[np.uint8] | None,
) -> Float[Tensor, "images 3 side side"]:
    """Sample images in [0, 1] under their tokens."""
    device = run_device(settings)
    first = None
    if start is not None:
        first = torch.from_numpy(start).to(device).permute(0, 3, 1, 2).float() / 255.0
    ids, seed = images.tolist(), settings.run.seed
    return sample_images(generator, tokens, ids, settings.recon, seed, first)


def refined_pixels(
    sampled: Float[Tensor, "images 3 side side"],
    images: NDArray[np.int64],
    weights_dir: Path | None,
    settings: Settings,
) -> NDArray[np.uint8]:
    """Return sampled images as pixels, after the refiner where the settings name one."""
    name = settings.features.refiner
    if name != "none":
        device = run_device(settings)
        refiner: Any = load_backbone("refiner", name, weights_dir)
        refiner.use_precision(frozen_precision(settings, device))
        ids, seed = images.tolist(), settings.run.seed
        sampled = refine_images(refiner.to(device), sampled, ids, settings.recon, seed)
    return to_uint8(sampled)


def _start_images(path: Path, subject: str, images: NDArray[np.int64]) -> NDArray[np.uint8]:
    part = read_part(path, "lowlevel", subject)
    if not np.array_equal(part.nsd_id, images):
        raise PipelineError(
            path,
            f"low-level images of the {len(images)} test images of this shard",
            f"{len(part.nsd_id)} images",
            "rerun reconstruct_lowlevel with the same settings",
            code="inconsistent-inputs",
        )
    return part.image
