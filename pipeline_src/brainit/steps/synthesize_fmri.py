"""Predict what the encoder's subjects would have answered to external images (paper 4, D.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import load_encoder, require_encoder_settings
from brainit.training.synthesis import synthesize_fmri


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("synthesize_fmri", __doc__)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of external images")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write: one of shards for each subject"
    )
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    encoder = load_encoder(args.encoder, settings.features, args.weights)
    require_encoder_settings(args.encoder, encoder, settings.encoder)
    device = run_device(settings)
    synthesize_fmri(encoder, ImageStore(args.images), settings, device, args.out)


if __name__ == "__main__":
    run_step("synthesize_fmri", main, output="--out")
