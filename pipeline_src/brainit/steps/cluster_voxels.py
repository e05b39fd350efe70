"""Assign every voxel of a pool's subjects to a shared functional cluster (paper 3.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.models.voxel_clusters import write_clusters


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    encoder: Path
    """The pool's encoder."""
    voxels: Mapping[str, Path]
    """Voxel tables of its subjects, subj01=PATH ..."""
    clusters: Path
    """Clusters to write."""
    summary: Path
    """Table to write."""
    atlas: tuple[Path, ...] = ()
    """Annotations: left and right hemisphere."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "cluster_voxels", __doc__, Flags)
    paths = flags.clusters, flags.summary, flags.atlas
    write_clusters(flags.encoder, flags.voxels, settings, *paths)


if __name__ == "__main__":
    run_step("cluster_voxels", main, output="--clusters")
