"""From betas to images, as in the pipeline's reconstruction steps (sections 3.1 to 3.3)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.seeds import use_threads
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri
from brainit.features.registry import load_backbone
from brainit.models.brain_decoder import Decoder
from brainit.models.decoders import load_decoder
from brainit.reconstruction.batches import N_THREADS
from brainit.reconstruction.diffusion import diffusion_images, open_generator, refined_pixels
from brainit.reconstruction.lowlevel import lowlevel_images


@dataclass(frozen=True)
class ModelFiles:
    """The files of a run's models: low-level and semantic decoder, generator after stage 2.

    A run of low-level images alone has only the first.
    """

    lowlevel: Path
    semantic: Path | None
    generator: Path | None


class Reconstructor:
    """The models and settings of one run of one subject, as a function of betas.

    Models are read at the first call and kept. `settings` are those of the run.
    """

    def __init__(
        self, subject: str, files: ModelFiles, settings: Settings, weights_dir: Path | None
    ) -> None:
        self.subject, self.settings = subject, settings
        self._files, self._weights_dir = files, weights_dir

    def __call__(
        self, betas: NDArray[np.floating], nsd_id: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """Return low-level, semantic and fused images, uint8 (images, height, width, rgb).

        A run without a generator has low-level images alone.

        `betas` (images, voxels) are z-scored, voxels in the order of the subject's betas. `nsd_id`
        names each image's random streams; None counts from 0. For any of the run's own test betas
        and ids the images equal the run's, byte for byte on the same machine; torch therefore uses
        one thread from then on. Raises `PipelineError` for other voxels, other numbers of
        images, ids that are no whole numbers, and betas that are not finite.
        """
        use_threads(N_THREADS)
        fmri = self._fmri(betas, nsd_id)
        ids = fmri.nsd_id
        lowlevel = lowlevel_images(self._lowlevel, self._vgg, fmri, ids, self.settings)
        images = {"lowlevel": lowlevel}
        if self._files.generator is None:
            return images
        for kind, start in (("semantic", None), ("fused", lowlevel)):
            sampled = diffusion_images(
                self._semantic, self._generator, fmri, ids, self.settings, start
            )
            images[kind] = refined_pixels(sampled, ids, self._weights_dir, self.settings)
        return images

    @property
    def n_voxels(self) -> int:
        """Voxels of the subject."""
        voxels = self._lowlevel.subjects[self.subject]
        return voxels.stop - voxels.start

    def _fmri(self, betas: NDArray[np.floating], nsd_id: NDArray[np.int64] | None) -> SubjectFmri:
        ids = np.arange(len(betas)) if nsd_id is None else np.asarray(nsd_id)
        if ids.dtype.kind not in "iu" or (len(ids) and ids.min() < 0):
            fix = "pass the nsd_id of each image, from 0, as integers"
            found = f"{ids.dtype} {ids[:3]}"
            raise PipelineError("nsd_id", "whole numbers from 0", found, fix, code="bad-values")
        ids = ids.astype(np.int64)
        expected = f"finite betas (images, {self.n_voxels}) of {self.subject}, an id for each image"
        if betas.ndim != 2 or betas.shape != (len(ids), self.n_voxels):
            found = f"betas of shape {betas.shape}, {len(ids)} ids"
            fix = "pass the betas of this subject's voxels, and their ids"
            raise PipelineError("betas", expected, found, fix, code="wrong-shape")
        if len(np.unique(ids)) != len(ids) or not len(ids):
            fix = "average the trials of an image"
            raise PipelineError("nsd_id", "each image once", f"{ids}", fix, code="duplicate-data")
        with np.errstate(over="ignore"):  # beyond float16 is infinite
            values = betas.astype(np.float16)
        if not np.isfinite(values).all():
            fix = "leave out trials that are not finite"
            raise PipelineError(
                "betas", expected, "NaN, infinity or beyond float16", fix, code="bad-values"
            )
        repeats = np.ones(len(ids), dtype=np.int64)
        return SubjectFmri(self.subject, values, ids, repeats)

    @cached_property
    def _lowlevel(self) -> Decoder:
        return self._decoder(self._files.lowlevel)

    @cached_property
    def _semantic(self) -> Decoder:
        assert self._files.semantic is not None, "a run with a generator has a semantic decoder"
        return self._decoder(self._files.semantic)

    @cached_property
    def _vgg(self) -> Any:
        vgg: Any = load_backbone("vgg", self.settings.features.vgg, self._weights_dir)
        return vgg.to(run_device(self.settings))

    @cached_property
    def _generator(self) -> Any:
        assert self._files.generator is not None
        return open_generator(self._files.generator, self._weights_dir, self.settings)

    def _decoder(self, path: Path) -> Decoder:
        decoder = load_decoder(path)
        if self.subject not in decoder.subjects:
            raise PipelineError(
                path,
                f"a decoder of {self.subject}",
                f"a decoder of {list(decoder.subjects)}",
                f"pass a run of {self.subject} to Results.reconstructor",
                code="unknown-name",
            )
        return decoder.to(run_device(self.settings))
