"""What is known of each voxel of a subject: its place on the surface and its noise ceiling."""

from pathlib import Path

from brainit.core.artifacts import Artifact, read_artifact


def read_voxels(path: Path) -> Artifact:
    """Read the voxel table of a subject (contract `voxels`), rows in the order of the betas."""
    return read_artifact(path, "voxels")
