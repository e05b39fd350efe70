"""The command of a job, cut to a few steps: fewer examples, epochs and iterations, nothing smaller.

Widths, batches, voxels, image sizes and precision stay as the rule gives them.
"""

import copy
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brainit.commands.dry_run import Job

TRAININGS = {
    "train_encoder": "encoder",
    "adapt_encoder": "encoder",
    "train_bit lowlevel": "bit_lowlevel",
    "train_bit semantic": "bit_semantic",
    "adapt_bit lowlevel": "bit_lowlevel",
    "adapt_bit semantic": "bit_semantic",
    "train_joint": "joint",
    "adapt_joint": "joint",
}
"""Section of the settings that holds a training's batch, by step and kind."""
OF_IMAGES = (
    "extract_features",
    "extract_latents",
    "synthesize_fmri",
    "reconstruct_lowlevel",
    "reconstruct_semantic",
    "reconstruct_fused",
    "evaluate",
)
"""Steps whose work grows with the images."""
LEFT_OUT = {"--truth": "truth", "--true-features": "true_features.safetensors"}
"""Flags without which a step is rehearsed, and the names of their files.

A simulation's scores are a small part; a score without given features also computes its own.
"""
OTHERS = ("cluster_voxels", "assign_voxels")
REHEARSED = (
    "extract_features",
    "extract_latents",
    "train_encoder",
    "cluster_voxels",
    "synthesize_fmri",
    "train_bit lowlevel",
    "train_bit semantic",
    "train_joint",
    "adapt_encoder",
    "assign_voxels",
    "adapt_bit lowlevel",
    "adapt_bit semantic",
    "adapt_joint",
    "reconstruct_lowlevel",
    "reconstruct_semantic",
    "reconstruct_fused",
    "evaluate",
)
"""Steps and kinds that are rehearsed, in their order in a run."""

_FEW: dict[str, dict[str, int]] = {
    "encoder": {"epochs": 1, "transfer_epochs": 1},
    "bit_lowlevel": {"epochs": 1},
    "bit_semantic": {"epochs": 1},
    "joint": {"epochs": 1, "processes": 1},
    "transfer": {"epochs": 1, "joint_epochs": 1},
    "clusters": {"max_iterations": 1},
}
_NEVER_MINUTES = str(10**6)


@dataclass(frozen=True)
class Amounts:
    """What a rehearsed job finds: examples and images of each subject, and external images."""

    n_train: int = 1
    n_val: int = 1
    n_test: int = 1
    n_external: int = 0


@dataclass(frozen=True)
class FewSteps:
    """A step with the arguments of its rule, cut to a few steps, and its data.

    `settings` are those of the rule, `cut` those of the rehearsal. `n_images` is the number of
    images of a step of images.
    """

    step: str
    arguments: tuple[str, ...]
    settings: dict[str, Any]
    cut: dict[str, Any]
    amounts: Amounts
    n_images: int


def arguments_of(job: Job) -> list[str]:
    """Return the arguments of a job's step, without its log and the way Python is started."""
    words = shlex.split(job.command.partition(" &> ")[0])
    module = next(n for n, word in enumerate(words) if word.startswith("brainit.steps."))
    return words[module + 1 :]


def cut_to_few_steps(job: Job, n_steps: int, n_images: int, n_members: int) -> FewSteps:
    """Return a job's step with `n_steps` optimiser steps, iterations or passes.

    Steps of images get `n_images`; `n_members` subjects share the examples of a training.
    """
    settings, arguments = job.settings, arguments_of(job)
    cut = _cut_settings(settings, n_steps, n_images)
    given = {
        "--settings": json.dumps(cut),
        "--checkpoint-minutes": _NEVER_MINUTES,
        "--max-hours": "0",
        "--tensorboard": "0",
    }
    for flag, value in given.items():
        if flag in arguments:
            arguments[arguments.index(flag) + 1] = value
    for flag in LEFT_OUT.keys() & set(arguments):
        start = arguments.index(flag)
        del arguments[start : start + 2]
    has_external = "--synthetic" in arguments
    amounts = _amounts(job.step, settings, n_steps, n_images, n_members, has_external)
    return FewSteps(job.step, tuple(arguments), settings, cut, amounts, n_images)


def examples_per_step(step: str, settings: Mapping[str, Any]) -> int:
    """Return the examples of an optimiser step of a training."""
    section = settings[TRAININGS[step]]
    return int(section["batch"]) * int(section.get("accumulation", 1))


def _cut_settings(settings: Mapping[str, Any], n_steps: int, n_images: int) -> dict[str, Any]:
    cut = copy.deepcopy(dict(settings))
    few = {**_FEW, "dip": {"iterations": n_steps}, "recon": _few_passes(n_steps, n_images)}
    few["images"] = {"rows_per_shard": _images_per_item(settings, n_images)}
    for section, changes in few.items():
        held = cut.get(section, {})
        held.update({key: value for key, value in changes.items() if key in held})
    return cut


def _few_passes(n_steps: int, n_images: int) -> dict[str, int]:
    """Return settings under which generator and refiner each do `n_steps` passes at least."""
    return {
        "n_steps": n_steps + 1,
        "start_step": 1,
        "refiner_steps": n_steps + 1,
        "refiner_start": 1,
        "max_images": n_images,
        "n_shards": 1,
    }


def _images_per_item(settings: Mapping[str, Any], n_images: int) -> int:
    """Return the rows of a shard: a batch, so that the progress display times each batch."""
    batch = settings.get("synthesis", {}).get("batch", n_images)
    return min(int(batch), n_images)


def _amounts(
    step: str,
    settings: Mapping[str, Any],
    n_steps: int,
    n_images: int,
    n_members: int,
    has_external: bool,
) -> Amounts:
    if step not in TRAININGS:
        return Amounts(n_test=n_images, n_external=n_images)
    n_examples = n_steps * examples_per_step(step, settings)
    # As in a full run, one example in three is real; a new subject trains on validation ones too.
    n_real = math.ceil(n_examples / 3) if has_external else n_examples
    per_subject = max(1, math.ceil(n_real / n_members))
    n_val = 1
    is_new = step.startswith("adapt_")
    n_train = max(1, per_subject - n_val) if is_new else per_subject
    n_used = n_members * (n_train + n_val * is_new)
    return Amounts(n_train, n_val, 1, max(0, n_examples - n_used) if has_external else 0)
