"""Compute the generator's latents of one set of images and keep them in shards (section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.data.images import ImageStore
from brainit.features.latent_cache import extract_latents
from brainit.models.generator_file import load_generator


@dataclass(frozen=True)
class Flags:
    """Folders of the step."""

    images: Path
    """Folder of image shards."""
    latents: Path
    """Folder of latent shards to write."""
    weights: Path | None = None
    """Folder of published weights."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "extract_latents", __doc__, Flags)
    use_threads(settings.run.threads)
    name, rows = settings.features.generator, settings.images.rows_per_shard
    device = run_device(settings)
    generator = load_generator(name, None, flags.weights)
    extract_latents(ImageStore(flags.images), generator, name, flags.latents, rows, device)


if __name__ == "__main__":
    run_step("extract_latents", main, output="--latents")
