"""Mask and z-score the betas of a subject, session by session (paper 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.betas import prepare_betas


@dataclass(frozen=True)
class Flags:
    """One subject's inputs, and the files to write."""

    subject: str
    """subj01 to subj08."""
    nsd: Path
    """Fetched tree (masks, ncsnr)."""
    source: str
    """Root of the tree that holds the betas."""
    trials: Path
    """Trial table (.csv)."""
    work: Path
    """Folder of finished sessions."""
    betas: Path
    """Betas to write (.npy)."""
    voxels: Path
    """Voxel table to write."""
    summary: Path
    """Summary to write (.json)."""
    mask_files: tuple[Path, ...] = ()
    """Files of nsd.mask_files."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write betas, voxel table and summary of `--subject`."""
    flags, settings = parse_flags(argv, "prepare_betas", __doc__, Flags, Connections)
    prepared = prepare_betas(
        flags.subject,
        flags.nsd,
        flags.source,
        flags.trials,
        flags.work,
        settings.nsd,
        flags.mask_files,
    )
    prepared.write(flags.betas, flags.voxels, flags.summary)


if __name__ == "__main__":
    run_step("prepare_betas", main, output="--betas")
