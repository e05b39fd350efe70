"""Compute the semantic tokens of one set of images and keep them in shards (section D.2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.device import frozen_precision, run_device
from brainit.core.seeds import use_threads
from brainit.data.images import ImageStore
from brainit.features.registry import load_backbone
from brainit.features.token_cache import extract_tokens


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("extract_features", __doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of image shards")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token shards")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    name, rows = settings.features.semantic_tokens, settings.images.rows_per_shard
    device = run_device(settings)
    network: Any = load_backbone("semantic_tokens", name, args.weights)
    network.halve_contrast = settings.features.halve_contrast
    network.use_precision(frozen_precision(settings, device))
    extract_tokens(ImageStore(args.images), network, args.tokens, rows, device)


if __name__ == "__main__":
    run_step("extract_features", main, output="--tokens")
