"""Gather a run's shards into the folder of reconstructions, with montage and provenance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.data.recons import KINDS
from brainit.reconstruction.gather import gather_reconstructions


@dataclass(frozen=True)
class Flags:
    """A run of a subject, its shards by kind, and the folder to write."""

    subject: str
    """subj01 to subj08, or a name in the section lab."""
    run: str
    """40h, 1h, 30min, 15min, 1h_scratch, 40h_<variant>, nsdsynthetic, first2, 40h_ridge ..."""
    stimuli: Path
    """Folder of the stimuli."""
    out: Path
    """Folder to write."""
    lowlevel: tuple[Path, ...] = ()
    """Shards of the low-level images; a peer has none."""
    semantic: tuple[Path, ...] = ()
    """Shards of the semantic images."""
    fused: tuple[Path, ...] = ()
    """Shards of the fused images."""
    recorded: bool = False
    """The subject is recorded, in a configuration of a simulation, too."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "gather_reconstructions", __doc__, Flags)
    parts = {kind: getattr(flags, kind) for kind in KINDS if getattr(flags, kind)}
    gather_reconstructions(
        flags.subject, flags.run, flags.stimuli, parts, flags.out, settings, flags.recorded
    )


if __name__ == "__main__":
    run_step("gather_reconstructions", main)
