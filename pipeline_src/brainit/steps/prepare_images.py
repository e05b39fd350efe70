"""Keep stimuli and external images at one size, in shards (paper 5.1, D)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.image_files import prepare_images


def main(argv: Sequence[str] | None = None) -> None:
    """Write the shards of the stimuli and of the external images."""
    parser = step_parser("prepare_images", __doc__)
    parser.add_argument("--brick", type=Path, required=True, help="nsd_stimuli.hdf5")
    parser.add_argument("--coco", type=Path, required=True, help="unlabeled2017.zip")
    parser.add_argument("--stimuli", type=Path, required=True, help="folder of shards to write")
    parser.add_argument("--external", type=Path, required=True, help="folder of shards to write")
    args = parser.parse_args(argv)
    images = read_settings(args).images
    prepare_images(args.brick, args.coco, images, args.stimuli, args.external)


if __name__ == "__main__":
    run_step("prepare_images", main, output="--stimuli")
