"""Brain-consistent search: the sample whose predicted response fits the measured one best.

After the brain-optimised inference of Kneeland et al. 2023 (arXiv 2312.07705). In the first round
an image gets `brain_search.first_samples` samples; each later round draws `later_samples`, which
start from the noised image kept so far, as the fused image starts from the low-level image. The
encoder predicts the response to each sample; of all samples so far the one with the best
`response_fit` is kept, so the fit never falls from round to round. The true image is never read.

The first sample has the draws of the run without search: of one round of one sample the search
returns that run's image. Each other sample has streams of its own, named by round, sample and image
id, and batches have one size, so the bytes of an image depend on no other image.

Cost of an image: (n_steps - start) * first_samples steps of the generator, then for each later
round (n_steps - start_step) * later_samples, and one pass of the encoder for each sample. With the
defaults 20 samples, which is 20 times the time of `reconstruct_fused`. Memory: a batch of samples
and their responses, besides the images kept, as bytes.

Differs from that paper: there the spread of samples falls from round to round and a criterion on it
ends the search, and several images of a round guide the next; here rounds and start step are
fixed and one image is kept.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import BrainSearchSettings, Settings
from brainit.core.streams import derived_seed
from brainit.data.fmri import SubjectFmri, load_subject_fmri
from brainit.data.images import images_on, to_uint8
from brainit.models.response_fit import read_weights, response_fit
from brainit.models.voxel_encoder import HoistedVoxels, VoxelEncoder
from brainit.reconstruction.batches import fixed_batches
from brainit.reconstruction.sampling import ImageGenerator, sample_images
from brainit.reconstruction.voxel_weights import open_encoder

logger = logging.getLogger(__name__)

FIT_COLUMNS = ("nsd_id", "round", "sample", "fit", "is_best")
"""`round` and `sample` from 0; `fit` in [-1, 1]; `is_best` marks the sample that was kept."""

Pixels = NDArray[np.uint8]
Draw = Callable[[Pixels | None, int, int], Pixels]
"""Maps start images of a batch (None: the run's own start), round and sample to samples."""
Fit = Callable[[Pixels], NDArray[np.float64]]
"""Maps the samples of a batch to their fits."""


@dataclass(frozen=True)
class ChooserInputs:
    """What chooses among samples: measured responses, an encoder, weights of the voxels."""

    measured_betas: Path
    """betas of the subject, of its test images"""
    measured_trials: Path
    """their trial table"""
    encoder: Path
    """encoder that knows the subject"""
    voxel_weights: Path
    """weights of its voxels, of this encoder"""


@dataclass(frozen=True)
class Chooser:
    """Fits of images to a subject's responses, which are averaged over repeats."""

    encoder: VoxelEncoder
    voxels: HoistedVoxels
    fmri: SubjectFmri
    weights: Float[Tensor, "voxels"]

    @classmethod
    def of(
        cls, inputs: ChooserInputs, subject: str, weights_dir: Path | None, settings: Settings
    ) -> "Chooser":
        """Load a chooser onto the run's device.

        Raises `PipelineError` where responses, encoder and weights are not of the same voxels.
        """
        paths = (inputs.measured_betas, inputs.measured_trials)
        fmri = load_subject_fmri(subject, *paths, ("test",), "40h", True)
        encoder = open_encoder(inputs.encoder, fmri, weights_dir, settings)
        weights = read_weights(inputs.voxel_weights, subject, fmri.n_voxels, inputs.encoder)
        voxels = encoder.hoist(encoder.voxel_slice(subject))
        on_device = torch.from_numpy(weights).to(run_device(settings))
        return cls(encoder, voxels, fmri, on_device)

    def fit_to(self, images: NDArray[np.int64]) -> Fit:
        """Return the function of the fits to the responses to `images`, by their nsd_id.

        Raises `PipelineError` for an image without a response.
        """
        if missing := sorted(set(images.tolist()) - set(self.fmri.nsd_id.tolist())):
            raise PipelineError(
                f"responses of {self.fmri.subject}",
                f"a response to each of {len(images)} images",
                f"none to image {missing[0]}",
                "give the betas of the session in which the run's images were seen",
                code="missing-data",
            )
        rows = np.searchsorted(self.fmri.nsd_id, images)
        device = self.weights.device
        measured = torch.from_numpy(self.fmri.betas[rows].astype(np.float32)).to(device)

        def fit(pixels: Pixels) -> NDArray[np.float64]:
            shown = images_on(torch.from_numpy(pixels), device)
            predicted = self.encoder.predict(shown, self.voxels)
            found: NDArray[np.float64] = (
                response_fit(measured, predicted, self.weights).cpu().numpy()
            )
            return found

        return fit


def search_batch(
    draw: Draw, fit: Fit, settings: BrainSearchSettings
) -> tuple[Pixels, NDArray[np.float64], NDArray[np.int64]]:
    """Return the best samples of a batch, all fits (samples, images), and the best's number.

    Samples count over all rounds. Of equal fits the first is kept.
    """
    kept: Pixels | None = None
    fits: list[NDArray[np.float64]] = []
    chosen = np.zeros(0, dtype=np.int64)
    best = np.zeros(0)
    for round_number in range(settings.rounds):
        start = kept
        for sample in range(settings.later_samples if round_number else settings.first_samples):
            pixels = draw(start, round_number, sample)
            found = fit(pixels)
            if kept is None:
                kept, best, chosen = pixels, found, np.zeros(len(found), dtype=np.int64)
            else:
                is_better = found > best
                kept = np.where(is_better[:, None, None, None], pixels, kept)
                best = np.where(is_better, found, best)
                chosen = np.where(is_better, len(fits), chosen)
            fits.append(found)
    assert kept is not None, "brain_search.rounds and samples are positive"
    return kept, np.stack(fits), chosen


def search_images(
    generator: ImageGenerator,
    chooser: Chooser,
    tokens: Float[Tensor, "images tokens features"],
    images: NDArray[np.int64],
    start: Pixels | None,
    settings: Settings,
) -> tuple[Pixels, pd.DataFrame]:
    """Return the best image of each test image (its nsd_id), uint8, and the table of all fits.

    `start` are their low-level images (images, side, side, rgb); None starts from noise. Raises
    `PipelineError` where the later rounds would start after the last step of the sampler.
    """
    _require_start(settings)
    options, recon = settings.brain_search, settings.recon
    later = recon.model_copy(update={"start_step": first_step_of_later_rounds(settings)})
    logger.info("%d images, each %s", len(images), cost_of_image(settings, start is not None))
    best, tables = [], []
    for batch in progress(fixed_batches(len(images), recon.batch), "brain search", unit="batch"):
        ids, given = images[batch.rows], tokens[batch.rows]
        own = None if start is None else start[batch.rows]

        def draw(
            kept: Pixels | None,
            number: int,
            sample: int,
            ids: NDArray[np.int64] = ids,
            given: Tensor = given,
            own: Pixels | None = own,
        ) -> Pixels:
            pixels = own if kept is None else kept
            first = None
            if pixels is not None:  # in the layout of `reconstruct_fused`, which decides rounding
                shown = torch.from_numpy(pixels).to(given.device).permute(0, 3, 1, 2)
                first = shown.float() / 255.0
            how, seed = later if number else recon, seed_of_sample(settings, number, sample)
            return to_uint8(sample_images(generator, given, ids.tolist(), how, seed, first))

        kept, fits, chosen = search_batch(draw, chooser.fit_to(ids), options)
        best.append(kept[: batch.n_kept])
        n = batch.n_kept
        tables.append(_table_of(ids[:n], fits[:, :n], chosen[:n], options))
    return np.concatenate(best), pd.concat(tables, ignore_index=True)


def seed_of_sample(settings: Settings, number: int, sample: int) -> int:
    """Return the seed of a sample's streams: of the first `run.seed`, as without a search."""
    if not number and not sample:
        return settings.run.seed
    return derived_seed(settings.run.seed, "brain_search", number, sample)


def first_step_of_later_rounds(settings: Settings) -> int:
    """Return the sampling step at which later rounds start from the kept image."""
    own = settings.brain_search.start_step
    return settings.recon.start_step if own is None else own


def cost_of_image(settings: Settings, has_start: bool) -> str:
    """Return the cost of an image in words: samples and steps of the generator."""
    options, recon = settings.brain_search, settings.recon
    n_later = options.later_samples * (options.rounds - 1)
    n_first_steps = recon.n_steps - (recon.start_step if has_start else 0)
    n_steps = options.first_samples * n_first_steps
    n_steps += n_later * (recon.n_steps - first_step_of_later_rounds(settings))
    return f"{options.first_samples + n_later} samples, {n_steps} steps of the generator"


def _require_start(settings: Settings) -> None:
    first, n_steps = first_step_of_later_rounds(settings), settings.recon.n_steps
    if settings.brain_search.rounds > 1 and first >= n_steps:
        raise PipelineError(
            "brain_search.start_step",
            f"below recon.n_steps, {n_steps}",
            str(first),
            f"set brain_search.start_step below {n_steps}",
            code="invalid-setting",
        )


def empty_fits() -> pd.DataFrame:
    """Return the table of fits of a shard without images."""
    return pd.DataFrame({name: [] for name in FIT_COLUMNS})


def _table_of(
    images: NDArray[np.int64],
    fits: NDArray[np.float64],
    chosen: NDArray[np.int64],
    options: BrainSearchSettings,
) -> pd.DataFrame:
    """Return `FIT_COLUMNS` of a batch, image after image; `fits` (samples, images)."""
    sizes = [options.first_samples, *[options.later_samples] * (options.rounds - 1)]
    places = [(number, sample) for number, size in enumerate(sizes) for sample in range(size)]
    rows = [
        (int(image), *place, float(fits[n, i]), n == chosen[i])
        for i, image in enumerate(images)
        for n, place in enumerate(places)
    ]
    return pd.DataFrame(rows, columns=list(FIT_COLUMNS))
