"""Prepare NSD-Imagery: the pictures that a subject saw and imagined in a session of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.nsdimagery import prepare_nsdimagery
from brainit.data.voxels import read_voxels


@dataclass(frozen=True)
class Flags:
    """One subject's inputs, and the folders to write."""

    subject: str
    """subj01 to subj08."""
    source: str
    """NSD's root: https://, s3:// or a folder."""
    voxels: Path
    """Voxel table of the subject."""
    work: Path
    """Folder of files while needed."""
    vision: Path
    """Folder to write: trials of pictures that were seen."""
    imagery: Path
    """Folder to write: trials of pictures that were imagined."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write betas, trials, images and classes of `--subject` below `--vision` and `--imagery`."""
    flags, settings = parse_flags(argv, "prepare_nsdimagery", __doc__, Flags, Connections)
    prepare_nsdimagery(
        flags.subject,
        flags.source,
        read_voxels(flags.voxels),
        flags.work,
        settings.nsd,
        settings.images,
        {"vision": flags.vision, "imagery": flags.imagery},
    )


if __name__ == "__main__":
    run_step("prepare_nsdimagery", main, output="--imagery")
