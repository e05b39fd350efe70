"""Keep stimuli and external images at one size, in shards (paper 5.1, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.data.image_files import prepare_images


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    brick: Path
    """nsd_stimuli.hdf5."""
    coco: Path
    """unlabeled2017.zip."""
    stimuli: Path
    """Folder of shards to write."""
    external: Path
    """Folder of shards to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the shards of the stimuli and of the external images."""
    flags, settings = parse_flags(argv, "prepare_images", __doc__, Flags)
    prepare_images(flags.brick, flags.coco, settings.images, flags.stimuli, flags.external)


if __name__ == "__main__":
    run_step("prepare_images", main, output="--stimuli")
