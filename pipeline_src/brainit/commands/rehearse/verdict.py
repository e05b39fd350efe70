"""Whether a rehearsed step fits its card and its request, and which setting would make it fit."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainit.commands.dry_run import Job
from brainit.commands.plan.models import bit_bytes, generator_bytes
from brainit.core.settings import Settings

_OVERLAYS = ((24, "config/gpu_24gb.yaml"), (48, "config/gpu_48gb.yaml"))
_INPUT_MINUTES = 20
_FLOAT32 = 4
_SLACK = 0.97
"""Share of a card that a program can use; the driver's context takes the rest."""
_DEVICE_SETTINGS = {
    "train_encoder": "encoder.precision: bfloat16, or a smaller encoder.batch (another training)",
    "adapt_encoder": "encoder.precision: bfloat16, or a smaller encoder.batch (another training)",
    "synthesize_fmri": "a smaller synthesis.batch",
    "extract_features": "features.precision: bfloat16",
    "train_bit lowlevel": "a smaller bit_lowlevel.logit_rows",
    "adapt_bit lowlevel": "a smaller bit_lowlevel.logit_rows",
    "train_bit semantic": "features.cache_tokens: true, or features.precision: bfloat16",
    "adapt_bit semantic": "features.cache_tokens: true, or features.precision: bfloat16",
    "train_joint": "joint.batch halved and joint.accumulation doubled, joint.optimizer: adafactor,"
    " then joint.unet_weights: cross_attention",
    "adapt_joint": "joint.batch halved and joint.accumulation doubled",
    "reconstruct_lowlevel": "a smaller dip.chunk",
    "reconstruct_semantic": "a smaller recon.batch",
    "reconstruct_fused": "a smaller recon.batch",
}
"""Settings that lower a step's memory on the device, or on the host where that is the device."""


@dataclass(frozen=True)
class Verdict:
    """One word of `fits`, `device-memory`, `host-memory`, `request`, `time` and `failed`; advice.

    `request`: it fits the machine, but takes more host memory than its rule requests.
    """

    word: str
    found: str = ""
    advice: str = ""


def least_bytes(step: str, settings: Settings, n_voxels: int) -> float:
    """Return the bytes that a step takes without activations, counted; 0 where nobody counted.

    Stage 2: weights, gradients and AdamW's two moments of what it trains; of voxel embeddings whose
    moments are on the host, the weights alone. A step that needs more than there is is not started:
    on a CPU it would fill the memory of the whole machine.
    """
    if step != "train_joint":
        return 0.0
    joint = settings.joint
    n_states = 2 if joint.optimizer == "adafactor" else 4
    bit = n_states * bit_bytes(settings, settings.features.semantic_tokens, n_voxels)
    if settings.cohort.embedding_states == "host":
        bit -= (n_states - 1) * _FLOAT32 * n_voxels * settings.bit.width
    unet = generator_bytes(settings)
    return bit + unet * (n_states if joint.unet_weights == "all" else 1)


def too_large(job: Job, least: float, capacity: float, is_device: bool) -> Verdict | None:
    """Return the verdict on a step that needs more than the `capacity`; None if it may fit."""
    if least <= capacity:
        return None
    found = f"at least {least / 1e9:.1f} GB without activations, {capacity / 1e9:.1f} GB there"
    if is_device:
        return Verdict("device-memory", found, device_advice(job.step, capacity))
    return Verdict("host-memory", found, host_advice(job.step, is_device))


def host_advice(step: str, has_device: bool) -> str:
    """Return what helps a step that fills the host's memory; without a GPU that holds all."""
    settings = _DEVICE_SETTINGS.get(step)
    return "a machine of more memory" + (f"; or {settings}" if settings and not has_device else "")


def judge(job: Job, measured: Mapping[str, Any], data_bytes: float = 0.0) -> Verdict:
    """Return the verdict on a step from what the probe measured.

    `data_bytes` are those that the real job holds in memory besides.
    """
    fault, host = measured["fault"], float(measured["host_bytes"]) + data_bytes
    wanted_mb = 1.1 * host / 1e6
    ask = f"--set-resources {job.rule}:mem_mb={wanted_mb:.0f}"
    if fault and fault["kind"] == "device-memory":
        total = float(measured["device_total_bytes"])
        return Verdict("device-memory", fault["text"], device_advice(job.step, total))
    if fault and fault["kind"] == "host-memory":
        has_device = bool(measured["device_total_bytes"])
        return Verdict("host-memory", fault["text"], host_advice(job.step, has_device))
    if fault:
        advice = "a longer time with --minutes" if fault["kind"] == "time" else ""
        return Verdict(fault["kind"], fault["text"], advice)
    if job.mem_mb is not None and host > 1e6 * job.mem_mb:
        found = f"{host / 1e9:.1f} GB of host memory, {job.mem_mb / 1e3:.1f} GB requested"
        return Verdict("request", found, ask)
    return Verdict("fits")


def device_advice(step: str, device_bytes: float) -> str:
    """Return what lowers a step's memory on a card of so many bytes."""
    gb = device_bytes / 1e9
    fitting = [path for size, path in _OVERLAYS if gb >= _SLACK * size] or [_OVERLAYS[0][1]]
    settings = _DEVICE_SETTINGS.get(step, "a larger card")
    return f"--configfile {fitting[-1]}; or {settings}"


def srun_line(
    job: Job,
    target: str,
    configfiles: Sequence[Path],
    threads: int,
    minutes: float = 10.0,
    options: Sequence[str] = (),
) -> str:
    """Return the command that rehearses a job's step as a job of a cluster with its request.

    `minutes` are the step's at most, and 20 more are for its inputs; `options` are the rehearsal's.
    """
    words = ["srun"]
    if job.n_gpus:
        words.append("--gres=gpu:1")
    words += [f"--mem={job.mem_mb or 0:.0f}M", f"--cpus-per-task={threads}"]
    words += [f"--time={math.ceil(minutes) + _INPUT_MINUTES}", "brainit", "rehearse", target]
    words += [*options, "--only", job.step]
    if configfiles:
        words += ["--configfile", *map(str, configfiles)]
    return shlex.join(words)
