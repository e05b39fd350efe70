"""From betas to images, as the pipeline's reconstruction steps do it (sections 3.1 to 3.3)."""

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
from brainit.models.brain_transformer import LoadedBit, load_bit
from brainit.reconstruction.lowlevel import lowlevel_images
from brainit.reconstruction.semantic import finished, open_generator, semantic_images


@dataclass(frozen=True)
class ModelFiles:
    """The files of a run's models: low-level BIT, semantic BIT and generator after stage 2.

    A run of low-level images alone has neither of the latter.
    """

    lowlevel: Path
    semantic: Path | None
    generator: Path | None


class Reconstructor:
    """The models and settings of one run of one subject, as a function of betas.

    Models are read at the first call and kept. `settings` are those that the run was made with.
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
        names each image's random streams; None counts from 0. With the run's own test betas and ids
        the images are the run's, byte for byte on the same machine, so torch's threads are set to
        those of the run. Raises `PipelineError` for other voxels, and for numbers of images that
        differ or are not finite.
        """
        use_threads(self.settings.run.threads)
        fmri = self._fmri(betas, nsd_id)
        ids = fmri.nsd_id
        lowlevel = lowlevel_images(self._lowlevel, self._vgg, fmri, ids, self.settings)
        found = {"lowlevel": lowlevel}
        if self._files.generator is None:
            return found
        for kind, start in (("semantic", None), ("fused", lowlevel)):
            pictures = semantic_images(
                self._semantic, self._generator, fmri, ids, self.settings, start
            )
            found[kind] = finished(pictures, ids, self._weights_dir, self.settings)
        return found

    @property
    def n_voxels(self) -> int:
        """Voxels of the subject."""
        place = self._lowlevel.subjects[self.subject]
        return place.stop - place.start

    def _fmri(self, betas: NDArray[np.floating], nsd_id: NDArray[np.int64] | None) -> SubjectFmri:
        ids = np.arange(len(betas), dtype=np.int64) if nsd_id is None else nsd_id
        expected = f"finite betas (images, {self.n_voxels}) of {self.subject}, an id for each image"
        if betas.ndim != 2 or betas.shape != (len(ids), self.n_voxels):
            found = f"betas of shape {betas.shape}, {len(ids)} ids"
            raise PipelineError("betas", expected, found, "give those of this subject's voxels")
        if len(np.unique(ids)) != len(ids) or not len(ids):
            raise PipelineError("nsd_id", "each image once", f"{ids}", "average its trials")
        if not np.isfinite(betas).all():
            raise PipelineError("betas", expected, "NaN or infinity", "leave these trials out")
        repeats = np.ones(len(ids), dtype=np.int64)
        return SubjectFmri(self.subject, betas.astype(np.float16), ids, repeats)

    @cached_property
    def _lowlevel(self) -> LoadedBit:
        return self._bit(self._files.lowlevel)

    @cached_property
    def _semantic(self) -> LoadedBit:
        assert self._files.semantic is not None, "a run with a generator has a semantic BIT"
        return self._bit(self._files.semantic)

    @cached_property
    def _vgg(self) -> Any:
        vgg: Any = load_backbone("vgg", self.settings.features.vgg, self._weights_dir)
        return vgg.to(run_device(self.settings))

    @cached_property
    def _generator(self) -> Any:
        assert self._files.generator is not None
        return open_generator(self._files.generator, self._weights_dir, self.settings)

    def _bit(self, path: Path) -> LoadedBit:
        bit = load_bit(path)
        if self.subject not in bit.subjects:
            known = f"a BIT of {list(bit.subjects)}"
            raise PipelineError(path, f"a BIT of {self.subject}", known, "name another run")
        bit.model.to(run_device(self.settings)).eval()
        return bit
