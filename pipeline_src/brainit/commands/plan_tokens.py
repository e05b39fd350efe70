"""What the semantic tokens cost a run: kept in shards, or computed when needed.

`features.cache_tokens` chooses. Passes through the token network are those of the pools' stage 1,
at most; transfers and validation add a few percent.
"""

from collections.abc import Sequence
from typing import Any

from brainit.commands.plan_sizes import Job, Sizes

_TFLOP_PER_PASS = {"openclip_vit_bigg14": 0.97}
"""1,844.9 M weights at 257 tokens, two operations each, and the attention."""
GPU_TFLOPS = 400.0
"""What an H100 reaches in bfloat16 on large matrices, about half of its peak."""
_N_OWN_IMAGES = 9_000


def token_costs(sizes: Sizes, jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return passes and GPU hours both ways, and the bytes of the shards.

    None where no job trains a semantic BIT on a pool or the network's cost is not known.
    """
    features, stage1 = sizes.settings.features, sizes.settings.bit_semantic
    pools = [dict(job.wildcards)["pool"] for job in jobs if job.rule == "train_bit_semantic"]
    tflop = _TFLOP_PER_PASS.get(features.semantic_tokens)
    if not pools or tflop is None:
        return None
    n_external = sizes.n_external if sizes.settings.synthesis.enabled else 0
    n_passes = 0.0
    for pool in pools:
        n_real = _N_OWN_IMAGES * _n_subjects(pool, len(sizes.settings.nsd.subjects))
        per_epoch = n_external
        if stage1.external_per_real is not None:
            per_epoch = min(n_external, round(stage1.external_per_real * n_real))
        n_passes += stage1.epochs * (n_real + per_epoch)
    hours = tflop / GPU_TFLOPS / 3600
    n_once = sizes.n_stimuli + n_external
    sets = ("stimuli", "external") if n_external else ("stimuli",)
    return {
        "is_cached": features.cache_tokens,
        "passes_when_needed": n_passes,
        "hours_when_needed": n_passes * hours,
        "passes_when_kept": n_once,
        "hours_when_kept": n_once * hours,
        "bytes_when_kept": sum(sizes.tokens(image_set) for image_set in sets),
    }


def token_lines(costs: dict[str, Any]) -> list[str]:
    """Return both costs as lines to read; the chosen one is marked."""
    rate = f"GPU h at {GPU_TFLOPS:g} TFLOP/s"
    needed = (
        f"at most {costs['passes_when_needed'] / 1e6:.1f} million passes,"
        f" {costs['hours_when_needed']:.1f} {rate}, no disk"
    )
    kept = (
        f"{costs['passes_when_kept'] / 1e6:.1f} million passes,"
        f" {costs['hours_when_kept']:.1f} {rate}, {costs['bytes_when_kept'] / 1e9:.1f} GB of disk"
    )
    return [
        f"  semantic tokens, features.cache_tokens: {value}"
        f"{' (as set)' if costs['is_cached'] == (value == 'true') else ''}: {text}"
        for value, text in (("false", needed), ("true", kept))
    ]


def _n_subjects(pool: str, n_all: int) -> int:
    if pool == "all":
        return n_all
    return n_all - 1 if pool.startswith("without_") else 1
