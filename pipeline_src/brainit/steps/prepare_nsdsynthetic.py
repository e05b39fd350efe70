"""Prepare the NSD-synthetic session of a subject in the form of its other trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.nsdsynthetic import prepare_nsdsynthetic
from brainit.data.voxels import read_voxels


@dataclass(frozen=True)
class Flags:
    """One subject's inputs, and the folder to write."""

    subject: str
    """subj01 to subj08."""
    source: str
    """NSD's root: https://, s3:// or a folder."""
    voxels: Path
    """Voxel table of the subject."""
    work: Path
    """Folder of files while needed."""
    out: Path
    """Folder to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write betas, trials, images and classes of `--subject` below `--out`."""
    flags, settings = parse_flags(argv, "prepare_nsdsynthetic", __doc__, Flags, Connections)
    prepare_nsdsynthetic(
        flags.subject,
        flags.source,
        read_voxels(flags.voxels),
        flags.work,
        settings.nsd,
        settings.images,
        flags.out,
    )


if __name__ == "__main__":
    run_step("prepare_nsdsynthetic", main, output="--out")
