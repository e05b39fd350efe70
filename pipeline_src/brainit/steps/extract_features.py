"""Compute the semantic tokens of one set of images and keep them in shards (section D.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainit.core.cli import parse_flags, run_step
from brainit.core.device import frozen_precision, run_device
from brainit.core.seeds import use_threads
from brainit.data.images import ImageStore
from brainit.features.registry import load_backbone
from brainit.features.token_cache import extract_tokens


@dataclass(frozen=True)
class Flags:
    """Folders of the step."""

    images: Path
    """Folder of image shards."""
    tokens: Path
    """Folder of token shards to write."""
    weights: Path | None = None
    """Folder of published weights."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "extract_features", __doc__, Flags)
    use_threads(settings.run.threads)
    name, rows = settings.features.semantic_tokens, settings.images.rows_per_shard
    device = run_device(settings)
    network: Any = load_backbone("semantic_tokens", name, flags.weights)
    network.halve_contrast = settings.features.halve_contrast
    network.use_precision(frozen_precision(settings, device))
    n_bits = settings.features.token_bits
    extract_tokens(ImageStore(flags.images), network, flags.tokens, rows, device, n_bits)


if __name__ == "__main__":
    run_step("extract_features", main, output="--tokens")
