"""Fetch and verify NSD's stimuli and COCO's unlabelled images (paper 5.1, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.download import Fetching, download_images


@dataclass(frozen=True)
class Flags(Fetching):
    """Where the images are, and where they go."""

    coco_source: str
    """Folder or address of COCO's archive."""
    stimuli: Path
    """nsd_stimuli.hdf5 to write."""
    coco: Path
    """unlabeled2017.zip to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch both files, then write the manifest."""
    flags, settings = parse_flags(argv, "download_images", __doc__, Flags, Connections)
    sources, nsd = (flags.source, flags.coco_source), settings.nsd
    download_images(*sources, nsd, flags.stimuli, flags.coco, flags.work, flags.manifest)


if __name__ == "__main__":
    run_step("download_images", main)
