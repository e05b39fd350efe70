"""Give each voxel of a new subject the cluster of its nearest base voxel (paper D.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.models.voxel_clusters import write_assigned


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    encoder: Path
    """The new subject's encoder."""
    base_encoder: Path
    """The pool's encoder."""
    base_clusters: Path
    """The pool's clusters."""
    clusters: Path
    """Clusters to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "assign_voxels", __doc__, Flags)
    write_assigned(flags.encoder, flags.base_encoder, flags.base_clusters, settings, flags.clusters)


if __name__ == "__main__":
    run_step("assign_voxels", main)
