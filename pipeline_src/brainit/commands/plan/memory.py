"""GPU memory of a pool's BIT trainings, counted from their weights, without activations."""

from collections.abc import Sequence

from brainit.commands.dry_run import Job
from brainit.commands.plan.models import bit_bytes, generator_bytes
from brainit.commands.plan.sizes import Sizes
from brainit.core.settings import Settings
from brainit.workflow.runs import Pool

_FLOAT32 = 4
_ADAMW_TABLES, _ADAFACTOR_TABLES = 5, 3
"""Weights, gradients, the gradient of one subject's rows, with AdamW two moments.

Backward makes a table of that gradient with zeros elsewhere, beside the sum of those before."""
_TABLES_OF_ROWS = 4
"""Of the subjects of a step alone: rows that are read, their gradient, two moments."""
_ADAMW, _ADAFACTOR, _BFLOAT16_COPY = 4.0, 2.0, 0.5
"""Weights and gradients, with AdamW two moments, and a copy for the forward pass; in weights."""


def embedding_bytes(settings: Settings, n_voxels: Sequence[int], rule: str) -> int:
    """Return the bytes of a pool's voxel embeddings in `train_bit` or `train_joint`.

    `n_voxels` are those of each subject. With `cohort.embedding_states: host` the device holds the
    table, and gradients and moments of a step's subjects: in each of its batches (stage 2
    accumulates several) `cohort.subjects_per_batch`, here the largest.
    """
    joint, cohort = settings.joint, settings.cohort
    row, is_joint = _FLOAT32 * settings.bit.width, rule == "train_joint"
    if cohort.embedding_states == "host":
        n_read = cohort.subjects_per_batch * (joint.accumulation if is_joint else 1)
        return row * (sum(n_voxels) + _TABLES_OF_ROWS * sum(sorted(n_voxels)[-n_read:]))
    is_factored = is_joint and joint.optimizer == "adafactor"
    return row * sum(n_voxels) * (_ADAFACTOR_TABLES if is_factored else _ADAMW_TABLES)


def training_bytes(settings: Settings, n_voxels: Sequence[int], rule: str) -> float:
    """Return the bytes that `train_bit` (semantic) or `train_joint` takes without activations.

    With `joint.unet_weights: cross_attention` at least so many: of what it trains of the U-Net only
    the weights are counted.
    """
    joint = settings.joint
    is_factored = rule == "train_joint" and joint.optimizer == "adafactor"
    share = (_ADAFACTOR if is_factored else _ADAMW) + _BFLOAT16_COPY
    shared = share * bit_bytes(settings, settings.features.semantic_tokens, 0)
    if rule == "train_joint":
        shared += generator_bytes(settings) * (share if joint.unet_weights == "all" else 1)
    return shared + embedding_bytes(settings, n_voxels, rule)


def largest_trainings(sizes: Sizes, jobs: Sequence[Job]) -> dict[str, float]:
    """Return the bytes of the largest pool's job of each of the two rules that is among `jobs`."""
    found: dict[str, float] = {}
    for job in jobs:
        if job.rule in ("train_bit", "train_joint"):
            members = Pool.parse(job.wildcard("pool")).members(sizes.settings.nsd.subjects)
            counts = [sizes.n_voxels(subject) for subject in members]
            n_bytes = training_bytes(sizes.settings, counts, job.rule)
            found[job.rule] = max(n_bytes, found.get(job.rule, 0.0))
    return found
