"""Mask and z-score the betas of a subject, session by session (paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import (
    add_connections_flag,
    read_fetching_settings,
    run_step,
    step_parser,
)
from brainit.data.nsd.betas import prepare_betas


def main(argv: Sequence[str] | None = None) -> None:
    """Write betas, voxel table and summary of `--subject`."""
    parser = step_parser("prepare_betas", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--nsd", type=Path, required=True, help="fetched tree (masks, ncsnr)")
    parser.add_argument("--source", required=True, help="root of the tree that holds the betas")
    parser.add_argument("--trials", type=Path, required=True, help="trial table (.csv)")
    parser.add_argument("--mask-files", type=Path, nargs="*", default=[], help="nsd.mask_files")
    parser.add_argument("--work", type=Path, required=True, help="folder of finished sessions")
    parser.add_argument("--betas", type=Path, required=True, help="betas to write (.npy)")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table to write")
    parser.add_argument("--summary", type=Path, required=True, help="summary to write (.json)")
    add_connections_flag(parser)
    args = parser.parse_args(argv)
    nsd = read_fetching_settings(args).nsd
    prepared = prepare_betas(
        args.subject, args.nsd, args.source, args.trials, args.work, nsd, args.mask_files
    )
    prepared.write(args.betas, args.voxels, args.summary)


if __name__ == "__main__":
    run_step("prepare_betas", main, output="--betas")
