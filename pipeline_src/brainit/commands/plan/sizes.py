"""Bytes that the jobs of a run fetch, write and remove, from the settings alone.

File sizes are formats times counts (NSD manual; `data.nsd.published`); sizes nobody states exactly
are named so. The encoders, tables, figures and logs are left out: less than a percent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from brainit.commands.dry_run import Job
from brainit.commands.plan.folders import cohort_of, folders_of
from brainit.commands.plan.models import (
    bit_bytes,
    generator_bytes,
    latent_shape,
    mlp_bytes,
    target_shape,
)
from brainit.core.settings import Settings
from brainit.data.nsd.anatomy import anatomy_keys
from brainit.data.nsd.published import published
from brainit.features.registry_entries import find_entry
from brainit.workflow.cohort import is_nsd
from brainit.workflow.runs import Pool
from brainit.workflow.sources import is_remote

MGH_HEADER_BYTES = 284
_FLOAT32, _FLOAT16 = 4, 2
_N_STIMULI, _STIMULUS_SIDE, _TRIALS_PER_SESSION = 73_000, 425, 750
_SYNTHETIC_TRIALS = 744
_SIMULATED_SYNTHETIC_TRIALS = 120
_COCO_BYTES = 19_000_000_000
_N_COCO = 123_403
_FSAVERAGE5 = 10_242
_SMALL_FILE_BYTES = 2_000_000
_BYTES_PER_RECONSTRUCTED_VALUE = 6
"""Three kinds, each in a shard, in the gathered array and as a PNG: as measured on the demo."""
_BYTES_PER_UNREFINED_VALUE = 2
"""Fused images before the refiner, in a shard and in the gathered array."""


@dataclass(frozen=True)
class Line:
    """Files that are fetched: so many, of so many bytes each."""

    what: str
    n_files: int
    n_bytes_each: float
    source: str

    @property
    def n_bytes(self) -> float:
        """Bytes of all files."""
        return self.n_files * self.n_bytes_each


class Sizes:
    """Sizes of everything large under some settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_simulated = settings.run.simulation
        self.folders = folders_of(settings)
        self.nsd_subjects = tuple(filter(is_nsd, cohort_of(settings)))
        self.betas_come_over_network = not self.is_simulated and is_remote(settings.paths.source)

    def n_sessions(self, subject: str) -> int:
        """Return the sessions of a subject."""
        if subject in self.folders:
            return self.folders[subject].n_sessions
        simulation = self.settings.simulation
        if not self.is_simulated:
            return published().subjects[subject].sessions
        n_images = simulation.n_own_images + simulation.n_shared_images
        return n_images * simulation.n_repeats // simulation.trials_per_session

    @property
    def n_trials_per_session(self) -> int:
        """Trials of a session."""
        simulation = self.settings.simulation
        return simulation.trials_per_session if self.is_simulated else _TRIALS_PER_SESSION

    def n_voxels(self, subject: str) -> int:
        """Return the voxels in the mask (simulated: their mean number)."""
        if subject in self.folders:
            return self.folders[subject].n_voxels
        if self.is_simulated:
            return 2 * self.settings.simulation.voxels_per_hemisphere
        known = published()
        if self.settings.nsd.space == "func1pt8mm":
            return known.subjects[subject].volume_nsdgeneral
        return sum(known.masks.get(self.settings.nsd.mask, known.masks["algonauts"]))

    def raw_session(self, subject: str) -> tuple[int, int]:
        """Return the number of files of a session's betas and the bytes of each."""
        n_trials = self.n_trials_per_session
        if self.settings.nsd.space == "func1pt8mm":
            x, y, z = published().subjects[subject].volume
            return 1, x * y * z * n_trials * 2
        n_vertices = _FSAVERAGE5 if self.is_simulated else published().n_vertices
        return 2, MGH_HEADER_BYTES + n_vertices * n_trials * _FLOAT32

    def prepared(self, subject: str) -> int:
        """Return the bytes of a subject's prepared betas."""
        n_trials = self.n_sessions(subject) * self.n_trials_per_session
        if subject in self.folders:
            n_trials = self.folders[subject].n_trials
        return n_trials * self.n_voxels(subject) * _FLOAT16

    @property
    def n_stimuli(self) -> int:
        """Stimuli of all data sets, NSD's first."""
        others = sum(folder.n_images for folder in self.folders.values())
        return others + (self.n_nsd_stimuli if self.nsd_subjects else 0)

    @property
    def n_nsd_stimuli(self) -> int:
        """Stimuli of NSD."""
        simulation = self.settings.simulation
        if not self.is_simulated:
            return _N_STIMULI
        return simulation.n_shared_images + simulation.n_own_images * len(self.nsd_subjects)

    @property
    def stimuli(self) -> int:
        """Bytes of nsd_stimuli.hdf5."""
        side = self.settings.simulation.image_size if self.is_simulated else _STIMULUS_SIDE
        return self.n_nsd_stimuli * side * side * 3

    @property
    def n_external(self) -> int:
        """External images that are used."""
        there = self.settings.simulation.n_external_images if self.is_simulated else _N_COCO
        return min(there, self.settings.images.n_external or there)

    @property
    def coco(self) -> int:
        """Bytes of COCO's archive (rounded by its publisher; simulated: 3.1 kB an image)."""
        if self.is_simulated:
            return 3_100 * self.settings.simulation.n_external_images
        return _COCO_BYTES

    def kept(self, n_images: int) -> int:
        """Return the bytes of images at the size that is kept."""
        return n_images * self.settings.images.stored_size**2 * 3

    def all_voxels(self, job: Job) -> int:
        """Return the voxels of the job's subject, or of all subjects of its pool."""
        if job.subject:
            return self.n_voxels(job.subject)
        members = Pool.parse(job.wildcard("pool")).members(self.settings.nsd.subjects)
        return sum(self.n_voxels(subject) for subject in members)

    def synthetic(self, job: Job) -> int:
        """Return the bytes of the fMRI that a job predicts."""
        return self.n_external * self.all_voxels(job) * _FLOAT16

    def tokens(self, image_set: str) -> int:
        """Return the bytes of the cached semantic tokens of `stimuli` or `external` images."""
        n_images = self.n_stimuli if image_set == "stimuli" else self.n_external
        n_tokens, width = target_shape(self.settings.features.semantic_tokens)
        is_half = self.settings.features.token_bits == 8  # with the bytes of each token's scale
        return n_images * n_tokens * (width + 4 if is_half else width * _FLOAT16)

    def latents(self, image_set: str) -> int:
        """Return the bytes of the cached latents of `stimuli` or `external` images."""
        n_images = self.n_stimuli if image_set == "stimuli" else self.n_external
        return n_images * math.prod(latent_shape(self.settings.features.generator)) * _FLOAT16

    @property
    def synthetic_session(self) -> int:
        """Bytes of a simulated subject's session of NSD-synthetic."""
        return 2 * (MGH_HEADER_BYTES + _FSAVERAGE5 * _SIMULATED_SYNTHETIC_TRIALS * _FLOAT32)

    def trained(self, job: Job) -> int:
        """Return the bytes that a training job writes: a BIT, with stage 2 a generator too."""
        n_voxels = self.all_voxels(job)
        features = self.settings.features
        is_lowlevel = job.wildcard("kind") == "lowlevel"
        network = features.vgg if is_lowlevel else features.semantic_tokens
        variant = self.settings.ablations.root.get(job.wildcard("variant")) or {}
        bit_settings = {
            **self.settings.bit_lowlevel.model_dump(),
            **variant.get("bit_lowlevel", {}),
        }
        if is_lowlevel and bit_settings["decoder"] == "mlp":
            return mlp_bytes(bit_settings["mlp_width"], network, n_voxels)
        n_bytes = bit_bytes(self.settings, network, n_voxels)
        return n_bytes + generator_bytes(self.settings) * (job.rule == "train_joint")

    def n_test(self, subject: str) -> int:
        """Return the test images of a subject that are reconstructed."""
        there = self.settings.simulation.n_shared_images if self.is_simulated else 1000
        if subject in self.folders:
            there = self.folders[subject].n_test
        return min(there, self.settings.recon.max_images or there)

    def reconstructions(self, subject: str) -> int:
        """Return the bytes of all reconstructions of one run of a subject."""
        n_images = self.n_test(subject)
        is_refined = self.settings.features.refiner != "none"
        per_value = _BYTES_PER_RECONSTRUCTED_VALUE + is_refined * _BYTES_PER_UNREFINED_VALUE
        return n_images * self.settings.images.stored_size**2 * 3 * per_value

    def fetched(self, jobs: Sequence[Job]) -> list[Line]:
        """Return the bytes that jobs fetch or copy; nothing where the source is simulated.

        Betas of a source on this machine are read where they are.
        """
        if self.is_simulated:
            return []
        nsd, subjects = self.settings.nsd, self.nsd_subjects
        lines = self._fetched_betas(jobs) if self.betas_come_over_network else []
        rules = {job.rule for job in jobs}
        if "download_images" in rules:
            lines.append(Line("stimuli", 1, self.stimuli, "NSD"))
            lines.append(Line("unlabelled images", 1, self.coco, "COCO"))
        if "download_external" in rules:
            lines.append(Line("unlabelled images", 1, self.coco, "COCO"))
        if "download" in rules:
            n_small = len(anatomy_keys(nsd, subjects)) + len(subjects) + 2
            lines.append(Line("design, masks, ceilings (about)", n_small, _SMALL_FILE_BYTES, "NSD"))
        for name in sorted(job.wildcard("network") for job in jobs if job.rule == "fetch_weights"):
            for source in find_entry(name).sources:
                lines.append(Line(f"weights {name}", 1, source.size_mb * 1e6, str(source)))
        return lines

    def _fetched_betas(self, jobs: Sequence[Job]) -> list[Line]:
        lines = []
        for subject in sorted({job.subject for job in jobs if job.rule == "prepare_betas"}):
            if subject in published().subjects:
                n_files, n_bytes = self.raw_session(subject)
                n_files *= self.n_sessions(subject)
                lines.append(Line(f"betas {subject}", n_files, n_bytes, "NSD"))
        for subject in sorted({job.subject for job in jobs if job.rule == "prepare_nsdsynthetic"}):
            n_bytes = MGH_HEADER_BYTES + published().n_vertices * _SYNTHETIC_TRIALS * _FLOAT32
            lines.append(Line(f"NSD-synthetic {subject}", 2, n_bytes, "NSD"))
        return lines
