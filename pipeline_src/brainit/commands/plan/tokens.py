"""Cost of the semantic tokens in a run: kept in shards, or computed when needed.

`features.cache_tokens` chooses. Passes through the token network are those of the semantic BITs'
training examples; validation is left out.
"""

from collections.abc import Sequence
from typing import Any

from brainit.commands.dry_run import Job
from brainit.commands.plan.hours import TOKENS_TFLOP, Hours


def token_costs(hours: Hours, jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return passes and GPU hours both ways, and the bytes of the shards.

    None where no job trains a semantic BIT, or the data are simulated.
    """
    sizes = hours.sizes
    n_passes = sum(hours.n_semantic_examples(job) for job in jobs)
    if not n_passes or sizes.is_simulated:
        return None
    per_pass = TOKENS_TFLOP / hours.tflops / 3600
    n_once = sizes.n_stimuli + sizes.n_external
    return {
        "is_cached": sizes.settings.features.cache_tokens,
        "passes_when_needed": n_passes,
        "hours_when_needed": n_passes * per_pass,
        "passes_when_kept": n_once,
        "hours_when_kept": n_once * per_pass,
        "bytes_when_kept": sizes.tokens("stimuli") + sizes.tokens("external"),
    }


def token_lines(costs: dict[str, Any]) -> list[str]:
    """Return both costs as lines to read; the chosen one is marked."""
    needed = (
        f"{costs['passes_when_needed'] / 1e6:.1f} million passes,"
        f" {costs['hours_when_needed']:.1f} GPU h, no disk"
    )
    kept = (
        f"{costs['passes_when_kept'] / 1e6:.1f} million passes,"
        f" {costs['hours_when_kept']:.1f} GPU h, {costs['bytes_when_kept'] / 1e9:.1f} GB of disk"
    )
    lines = []
    for is_cached, text in ((False, needed), (True, kept)):
        mark = " (as set)" if costs["is_cached"] == is_cached else ""
        lines.append(f"  tokens, features.cache_tokens: {str(is_cached).lower()}{mark}: {text}")
    return lines
