"""Assign every voxel of a pool's subjects to a shared functional cluster (paper 3.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.models.voxel_clusters import write_clusters


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("cluster_voxels", __doc__)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--voxels", nargs="+", required=True, help="subj01=PATH ... (its subjects)")
    parser.add_argument(
        "--atlas", type=Path, nargs=2, default=(), help="annotations: left, right hemisphere"
    )
    parser.add_argument("--clusters", type=Path, required=True, help="clusters to write")
    parser.add_argument("--summary", type=Path, required=True, help="table to write")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    voxels = named_paths(args.voxels)
    write_clusters(args.encoder, voxels, settings, args.clusters, args.summary, args.atlas)


if __name__ == "__main__":
    run_step("cluster_voxels", main, output="--clusters")
