"""Fetch COCO's unlabelled images alone, for a cohort without NSD's subjects (paper 5.1, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.download import download_external


@dataclass(frozen=True)
class Flags:
    """Where the archive is, and where it goes."""

    coco_source: str
    """Folder or address of COCO's archive."""
    coco: Path
    """unlabeled2017.zip to write."""
    work: Path
    """Folder of the file until it has come."""
    manifest: Path
    """List of files (.json)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch the archive, then write the manifest."""
    flags, settings = parse_flags(argv, "download_external", __doc__, Flags, Connections)
    download_external(flags.coco_source, settings.nsd, flags.coco, flags.work, flags.manifest)


if __name__ == "__main__":
    run_step("download_external", main)
