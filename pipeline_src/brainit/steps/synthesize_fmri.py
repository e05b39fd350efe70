"""Predict the fMRI responses of the encoder's subjects to external images (paper 4, D.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import load_encoder, require_encoder_settings
from brainit.training.synthesis import synthesize_fmri


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    encoder: Path
    """The pool's encoder."""
    images: Path
    """Folder of external images."""
    out: Path
    """Folder to write: one of shards for each subject."""
    weights: Path | None = None
    """Folder of published weights."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "synthesize_fmri", __doc__, Flags)
    use_threads(settings.run.threads)
    encoder = load_encoder(flags.encoder, settings.features, flags.weights)
    require_encoder_settings(flags.encoder, encoder, settings.encoder)
    device = run_device(settings)
    synthesize_fmri(encoder, ImageStore(flags.images), settings, device, flags.out)


if __name__ == "__main__":
    run_step("synthesize_fmri", main, output="--out")
