"""Run chosen jobs of a target, a few steps each, on stand-ins in a folder."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from brainit.commands.dry_run import Job
from brainit.commands.plan.hours import Hours
from brainit.commands.plan.sizes import Sizes
from brainit.commands.rehearse.child import available_memory, run_probe
from brainit.commands.rehearse.few_steps import LEFT_OUT, TRAININGS, FewSteps, cut_to_few_steps
from brainit.commands.rehearse.layouts import NetworkSizes, of_depth
from brainit.commands.rehearse.report import Record
from brainit.commands.rehearse.stand_ins import StandIns
from brainit.commands.rehearse.units import UnitTime, unit_time
from brainit.commands.rehearse.verdict import Verdict, judge, least_bytes, too_large
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.features.registry_entries import find_entry
from brainit.workflow.rates import Rate, Rates, bits_of_tokens

logger = logging.getLogger(__name__)

_CPU_IMAGES = 2
_BATCH_OF = {
    "synthesize_fmri": ("synthesis", "batch"),
    "reconstruct_lowlevel": ("dip", "chunk"),
    "reconstruct_semantic": ("recon", "batch"),
    "reconstruct_fused": ("recon", "batch"),
}
_OTHER_BATCH = 64
_FLOAT16_BYTES = 2
_COMPARED = 2
"""Identification compares an image with others."""


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal of some of a target's `jobs`, whose files are in `folder`.

    `n_images` None means two batches of the step's images, of published networks on a CPU two
    images; `depth` None means the published depth.
    """

    settings: Settings
    jobs: Sequence[Job]
    folder: Path
    n_steps: int
    n_images: int | None
    minutes: float
    depth: int | None

    def record(self, job: Job) -> Record:
        """Rehearse one job and return what was found."""
        few = self.cut(job)
        none = UnitTime("", None, 0.0)
        if (verdict := self.too_large(job)) is not None:
            return Record(job, {}, none, none, verdict, 0, None)
        try:
            self.make_inputs(job, few)
        except PipelineError as error:
            return Record(job, {}, none, none, Verdict("failed", str(error)), 0, None)
        disk = _size_of(self.folder)
        for path in job.outputs:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        measured = run_probe(
            few.step.split()[0], few.arguments, self.folder, self.depth, self.minutes
        )
        disk = max(disk, _size_of(self.folder))
        data_bytes = self.data_bytes(job)
        verdict = judge(job, measured, data_bytes)
        is_whole = measured["fault"] is None
        time = unit_time(few, measured["seconds"], measured["wall_s"], is_whole)
        cpu = unit_time(few, measured["cpu_seconds"], measured["cpu_s"], is_whole)
        seconds, n_voxels = self.seconds(job, time), self.n_voxels(job)
        hours = sum(seconds.values()) / 3600 if seconds else None
        parts = (verdict, disk, hours, n_voxels, seconds.get(job), data_bytes)
        return Record(job, measured, time, cpu, *parts, self.token_bits(job))

    def too_large(self, job: Job) -> Verdict | None:
        """Return the verdict on a job that cannot fit by count; None where it may."""
        if self.depth is not None or self.settings.run.simulation:
            return None
        least = least_bytes(job.step, self.settings, self.n_voxels(job))
        if torch.cuda.is_available():
            total = torch.cuda.get_device_properties(0).total_memory
            return too_large(job, least, total, is_device=True)
        return too_large(job, least, available_memory(), is_device=False)

    def n_voxels(self, job: Job) -> int:
        """Return all voxels of the job's subjects; 0 for a job of none."""
        has_subjects = job.subject or job.wildcard("pool")
        return Sizes(self.settings).all_voxels(job) if has_subjects else 0

    def cut(self, job: Job) -> FewSteps:
        """Return the job's step cut to a few steps."""
        n_members = len(StandIns(self.settings, NetworkSizes()).members_of(job))
        return cut_to_few_steps(job, self.n_steps, self.images_of(job), max(1, n_members))

    def images_of(self, job: Job) -> int:
        """Return the images of a step of images."""
        if self.n_images is not None:
            return max(self.n_images, _COMPARED if job.step == "evaluate" else 1)
        is_small = find_entry(self.settings.features.encoder_backbone).is_demo
        if not is_small and not torch.cuda.is_available():
            return _CPU_IMAGES
        section, key = _BATCH_OF.get(job.step, ("", ""))
        return 2 * int(job.settings.get(section, {}).get(key, _OTHER_BATCH))

    def make_inputs(self, job: Job, few: FewSteps) -> None:
        """Write the stand-ins of a job's inputs that are not there yet."""
        stand_ins = StandIns(self.settings, of_depth(self.depth))
        for name in job.inputs:
            path = Path(name)
            if not path.exists() and path.name not in LEFT_OUT.values():
                logger.info("  makes %s", path.relative_to(self.folder))
                stand_ins.write(path, few.amounts)

    def seconds(self, job: Job, time: UnitTime) -> dict[Job, float]:
        """Return the seconds of all jobs of the target that run the step under these settings."""
        rate = Rate(
            time.seconds,
            time.fixed_seconds,
            0.0,
            job.settings,
            self.n_voxels(job),
            token_bits=self.token_bits(job),
        )
        counts = self._hours(Rates({job.step: rate}))
        of_step = [other for other in self.jobs if other.step == job.step]
        found = {other: counts.rehearsed_seconds(other) for other in of_step}
        return {other: seconds for other, seconds in found.items() if seconds is not None}

    def token_bits(self, job: Job) -> int:
        """Return the bits of the job's cached tokens or latents; 0 where it has none."""
        return bits_of_tokens(job.step, self.settings.features.model_dump())

    def data_bytes(self, job: Job) -> float:
        """Return the bytes of the responses that a training of full size holds in memory."""
        if job.step not in TRAININGS:
            return 0.0
        counts = self._hours(Rates())
        n_members = max(1, len(StandIns(self.settings, NetworkSizes()).members_of(job)))
        return counts.n_real(job) * self.n_voxels(job) / n_members * _FLOAT16_BYTES

    def _hours(self, rates: Rates) -> Hours:
        return Hours(Sizes(self.settings), self.folder, rates=rates)

    def clean(self, following: Sequence[Job]) -> None:
        """Remove all files that none of the jobs to come needs: everything but their weights."""
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        shutil.rmtree(self.folder / "store" / "work", ignore_errors=True)
        for name in ("report.json", "step.log"):
            (self.folder / name).unlink(missing_ok=True)
        needed = {path for job in following for path in job.inputs}
        for path in (self.folder / "store").rglob("*.safetensors"):
            if str(path) not in needed:
                path.unlink()


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
