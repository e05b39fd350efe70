"""Give each voxel of a new subject the cluster of its nearest base voxel (paper D.4)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.models.voxel_clusters import write_assigned


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("assign_voxels", __doc__)
    parser.add_argument("--encoder", type=Path, required=True, help="the new subject's encoder")
    parser.add_argument("--base-encoder", type=Path, required=True)
    parser.add_argument("--base-clusters", type=Path, required=True)
    parser.add_argument("--clusters", type=Path, required=True, help="clusters to write")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    write_assigned(args.encoder, args.base_encoder, args.base_clusters, settings, args.clusters)


if __name__ == "__main__":
    run_step("assign_voxels", main)
