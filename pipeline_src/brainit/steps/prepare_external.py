"""Keep external images alone at one size, in shards, for a cohort without NSD (paper 5.1, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.data.image_files import prepare_external


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    coco: Path
    """unlabeled2017.zip."""
    external: Path
    """Folder of shards to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the shards of the external images."""
    flags, settings = parse_flags(argv, "prepare_external", __doc__, Flags)
    prepare_external(flags.coco, settings.images, flags.external)


if __name__ == "__main__":
    run_step("prepare_external", main, output="--external")
