"""GPU hours of a run: measured where a rule has run, else rehearsed, else counted arithmetic.

A measured time is the mean over the rule's benchmark files. A rehearsed one is the job's units at
the rate of `brainit rehearse`, where the job's settings are those rehearsed. Counts are of the
published networks at the paper's sizes (forward, and backward where a step trains), in TFLOP; none
is known of the demo's networks.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.commands.dry_run import Job
from brainit.commands.plan import peers, ridge
from brainit.commands.plan.sizes import Sizes
from brainit.core.settings import Settings, Stage1Settings
from brainit.workflow.rates import Rates, bits_of_tokens
from brainit.workflow.runs import TRIALS_PER_SESSION, Duration, Pool, Run

EFFECTIVE_TFLOPS = 400.0
"""Sustained rate of one H100 in bfloat16, 40 % of its peak; an A100 sustains about 160."""
_FIXED_S = 60.0
"""Start of a job: imports, the device's context, weights."""

_ENCODER_EXAMPLE = 12 / 32
_PREDICTED_IMAGE, _PREDICTED_VOXEL = 0.16, 0.62 / 316_384
_LOWLEVEL_EXAMPLE, _SEMANTIC_EXAMPLE = 15 / 64, 4.8 / 128
_DENOISING, _LATENT = 0.522, 0.27
_DIP_ITERATION, _DIP_SIDE = 0.101, 224
_REFINED, _FEATURES = 66.6, 0.19
TOKENS_TFLOP = 0.98
"""One image's semantic tokens."""

_STAGES = (
    ("extract_features", "extract_features_cohort", "extract_true_features", "train_encoder"),
    ("extract_latents", "extract_latents_cohort"),
    ("synthesize_fmri", "synthesize_fmri_pool", "adapt_encoder", "train_encoder_half"),
    ("adapt_encoder_half",),
    ("synthesize_fmri_transfer", "train_bit"),
    ("train_joint", "adapt_bit"),
    ("adapt_joint", "predict_ridge", "train_peer"),
    ("adapt_peer",),
    ("reconstruct_lowlevel",),
    ("reconstruct_semantic", "reconstruct_fused", "reconstruct_searched"),
    ("evaluate",),
)
"""Rules with GPU work; those of a stage wait for the stages before at the latest."""


@dataclass(frozen=True)
class GpuTime:
    """Seconds of one GPU for a job, and whether they were measured, rehearsed or counted."""

    rule: str
    label: str
    seconds: float
    is_measured: bool
    is_rehearsed: bool = False


class Hours:
    """GPU time of jobs under some settings, at `tflops` sustained TFLOP/s.

    `rates` are those of a rehearsal.
    """

    def __init__(
        self,
        sizes: Sizes,
        benchmarks: Path,
        tflops: float = EFFECTIVE_TFLOPS,
        rates: Rates | None = None,
    ) -> None:
        self.sizes, self.settings, self.tflops = sizes, sizes.settings, tflops
        self._benchmarks, self._rates = benchmarks, rates or Rates()

    def of(self, jobs: Sequence[Job]) -> list[GpuTime]:
        """Return the time of each job with GPU work on each of its GPUs.

        Jobs without measure or count are left out: settings with simulated data have demo networks,
        whose arithmetic nobody counted.
        """
        times = []
        for job in jobs:
            n_gpus = self.settings.joint.processes if job.rule == "train_joint" else 1
            if not any(job.rule in stage for stage in _STAGES):
                continue
            measured = _mean_seconds(self._benchmarks, job)
            if measured is not None:
                times += [GpuTime(job.rule, job.label, measured, True)] * n_gpus
            elif (rehearsed := self.rehearsed_seconds(job)) is not None:
                seconds = rehearsed / n_gpus
                times += [GpuTime(job.rule, job.label, seconds, False, True)] * n_gpus
            elif not self.sizes.is_simulated:
                seconds = _FIXED_S + self.arithmetic(job) / self.tflops / n_gpus
                if job.rule == "predict_ridge":
                    seconds += ridge.algebra_seconds(self.sizes, job)
                times += [GpuTime(job.rule, job.label, seconds, False)] * n_gpus
        return times

    def rehearsed_seconds(self, job: Job) -> float | None:
        """Return the seconds of a job at the rate of its step; None where none fits the job."""
        rate = self._rates.steps.get(job.step)
        if rate is None or (job.rule == "reconstruct_lowlevel" and self._is_ridge_of_pixels(job)):
            return None
        if rate.token_bits != bits_of_tokens(job.step, self.settings.features.model_dump()):
            return None
        n_units = self.n_units(job)
        if rate.n_voxels and job.rule.startswith("synthesize_fmri"):
            per_image = _PREDICTED_IMAGE + _PREDICTED_VOXEL * rate.n_voxels
            n_units *= self._tflop_per_unit(job) / per_image
        return rate.job_seconds(n_units, job.settings)

    def arithmetic(self, job: Job) -> float:
        """Return the TFLOP of a job."""
        if job.rule == "predict_ridge":
            return self._targets_of_ridge(job)
        if job.rule == "reconstruct_lowlevel" and self._is_ridge_of_pixels(job):
            return 0.0
        return self._tflop_per_unit(job) * self.n_units(job)

    def n_units(self, job: Job) -> float:
        """Return the units of a job's work: examples that a training sees, else images."""
        settings, joint, transfer = self.settings, self.settings.joint, self.settings.transfer
        match job.rule:
            case (
                "extract_features"
                | "extract_features_cohort"
                | "extract_latents"
                | "extract_latents_cohort"
            ):
                is_own = job.wildcard("image_set") == "stimuli"
                return self.sizes.n_stimuli if is_own else self.sizes.n_external
            case "train_encoder":
                return self.n_real(job) * settings.encoder.epochs
            case "adapt_encoder":
                return self.n_real(job) * settings.encoder.transfer_epochs
            case "train_encoder_half":
                return self.n_real(job) * settings.encoder.epochs / 2
            case "adapt_encoder_half":
                return self.n_real(job) * settings.encoder.transfer_epochs / 2
            case "synthesize_fmri" | "synthesize_fmri_pool" | "synthesize_fmri_transfer":
                return self.sizes.n_external
            case "train_bit" if job.wildcard("kind") == "lowlevel":
                stage1 = settings.bit_lowlevel
                return self._examples(job, stage1) * stage1.epochs
            case "train_bit":
                return self.n_semantic_examples(job)
            case "train_joint":
                n_examples = self._examples(job, settings.bit_semantic) * joint.epochs
                return min(n_examples, _most(joint.max_steps, settings))
            case "adapt_bit":
                return self._adapted(job) * transfer.epochs
            case "adapt_joint":
                n_examples = self._adapted(job) * transfer.joint_epochs
                return min(n_examples, _most(transfer.joint_max_steps, settings))
            case "train_peer" | "adapt_peer":
                return self.n_real(job) * peers.n_epochs(job, settings)
            case "evaluate" | "extract_true_features":
                return self.sizes.n_test(job.subject)
            case _:
                return self.sizes.n_test(job.subject) / settings.recon.n_shards

    def _tflop_per_unit(self, job: Job) -> float:
        """Return the TFLOP of a unit of a job's work; see `n_units`."""
        is_lowlevel = job.wildcard("kind") == "lowlevel"
        match job.rule:
            case "extract_features" | "extract_features_cohort":
                return TOKENS_TFLOP
            case "extract_latents" | "extract_latents_cohort":
                return _LATENT
            case "train_encoder" | "adapt_encoder" | "train_encoder_half" | "adapt_encoder_half":
                return _ENCODER_EXAMPLE
            case "synthesize_fmri" | "synthesize_fmri_pool" | "synthesize_fmri_transfer":
                return _PREDICTED_IMAGE + _PREDICTED_VOXEL * self.sizes.all_voxels(job)
            case "train_bit" | "adapt_bit":
                return _LOWLEVEL_EXAMPLE if is_lowlevel else self._semantic_example
            case "train_joint" | "adapt_joint":
                return self._joint_example
            case "train_peer" | "adapt_peer":
                return peers.example_tflop(job, self.settings, TOKENS_TFLOP)
            case "evaluate" | "extract_true_features":
                return _FEATURES
            case _:
                return self._per_reconstruction(job.rule)

    def n_real(self, job: Job) -> float:
        """Return the real examples of an epoch: nine in ten of all images, or the hour's trials."""
        if name := job.wildcard("duration"):
            return self._n_trials(Duration.parse(name))
        pool = Pool.parse(job.wildcard("pool"))
        if not pool.duration.is_full:
            return self._n_trials(pool.duration)
        subjects = pool.members(self.settings.nsd.subjects)
        share = 1 - self.settings.nsd.validation_share
        n_own, folders = self.settings.simulation.n_own_images, self.sizes.folders
        of_nsd = [subject for subject in subjects if subject not in folders]
        others = sum(folders[subject].n_training for subject in subjects if subject in folders)
        if self.sizes.is_simulated:
            return share * (others + len(of_nsd) * n_own)
        return share * (others + sum(225 * self.sizes.n_sessions(subject) for subject in of_nsd))

    def _n_trials(self, duration: Duration) -> float:
        """Return the trials of a duration; a simulation's session is shorter than NSD's."""
        return duration.n_trials * self.sizes.n_trials_per_session / TRIALS_PER_SESSION

    def n_semantic_examples(self, job: Job) -> float:
        """Return the examples that a semantic BIT sees in stage 1; 0 of other jobs."""
        if job.wildcard("kind") != "semantic":
            return 0.0
        if job.rule == "train_bit":
            stage1 = self.settings.bit_semantic
            return self._examples(job, stage1) * stage1.epochs
        return self.n_units(job) if job.rule == "adapt_bit" else 0.0

    def _is_ridge_of_pixels(self, job: Job) -> bool:
        """Return True for low-level images that ridge predicts as pixels."""
        is_ridge = Run.parse(job.wildcard("run")).is_baseline
        return is_ridge and self.settings.baselines.lowlevel == "pixels"

    def _targets_of_ridge(self, job: Job) -> float:
        """Return the TFLOP of the targets, which pass twice where a network computes them."""
        n_passes = 2 * ridge.n_images(self.sizes, job)
        if job.wildcard("kind") == "lowlevel":
            is_vgg = self.settings.baselines.lowlevel == "vgg"
            return n_passes * ridge.VGG_IMAGE_TFLOP if is_vgg else 0.0
        return 0.0 if self.settings.features.cache_tokens else n_passes * TOKENS_TFLOP

    @property
    def _semantic_example(self) -> float:
        """A step's share, and the tokens where they are computed when needed."""
        is_cached = self.settings.features.cache_tokens
        return _SEMANTIC_EXAMPLE + (0.0 if is_cached else TOKENS_TFLOP)

    @property
    def _joint_example(self) -> float:
        """Forward, forward again where the settings say so, and twice that backward.

        The VAE's pass, where latents are not cached.
        """
        n_passes = 4 if self.settings.joint.gradient_checkpointing else 3
        latent = 0.0 if self.settings.features.cache_latents else _LATENT
        return n_passes * _DENOISING + latent + _SEMANTIC_EXAMPLE

    def _examples(self, job: Job, stage1: Stage1Settings) -> float:
        """Return the examples of an epoch, real and external."""
        n_real, n_external = self.n_real(job), float(self.sizes.n_external)
        if stage1.external_per_real is not None:
            n_external = min(n_external, stage1.external_per_real * n_real)
        return n_real + n_external

    def _adapted(self, job: Job) -> float:
        """Return the examples of an epoch of a new subject."""
        n_real = self.n_real(job)
        n_external = min(self.settings.transfer.external_per_real * n_real, self.sizes.n_external)
        return n_real + n_external

    def _per_reconstruction(self, rule: str) -> float:
        recon, dip = self.settings.recon, self.settings.dip
        if rule == "reconstruct_lowlevel":
            return _DIP_ITERATION * (dip.size / _DIP_SIDE) ** 2 * dip.iterations
        n_steps = recon.n_steps - (recon.start_step if rule == "reconstruct_fused" else 0)
        refined = _REFINED if self.settings.features.refiner != "none" else 0
        if rule == "reconstruct_searched":  # from the low-level image; a peer's start from noise
            search = self.settings.brain_search
            later = recon.start_step if search.start_step is None else search.start_step
            n_later = search.later_samples * (search.rounds - 1)
            n_steps = search.first_samples * (recon.n_steps - recon.start_step)
            n_steps += n_later * (recon.n_steps - later)
        return 2 * _DENOISING * n_steps + refined


def wall_seconds(times: Sequence[GpuTime], n_gpus: int) -> float:
    """Return the wall time on `n_gpus`, stage after stage, the longest jobs of each first."""
    total = 0.0
    for stage in _STAGES:
        busy = [0.0] * n_gpus
        for time in sorted((t.seconds for t in times if t.rule in stage), reverse=True):
            first = busy.index(min(busy))
            busy[first] += time
        total += max(busy)
    return total


def _most(max_steps: int | None, settings: Settings) -> float:
    """Return the most examples of stage 2 that its bound on steps allows."""
    per_step = settings.joint.batch * settings.joint.accumulation
    return float("inf") if max_steps is None else max_steps * per_step


def _mean_seconds(benchmarks: Path, job: Job) -> float | None:
    """Return the mean of the benchmark files of a job's rule and kind; None without any."""
    name = f"*_{kind}.tsv" if (kind := job.wildcard("kind")) else "*.tsv"
    paths = [*benchmarks.glob(f"{job.rule}.tsv"), *benchmarks.glob(f"{job.rule}/**/{name}")]
    seconds = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            seconds += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return sum(seconds) / len(seconds) if seconds else None
