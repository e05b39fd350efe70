"""Bring the NSD-synthetic session of a subject into the form of other trials (NSD-synthetic)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import (
    add_connections_flag,
    read_fetching_settings,
    run_step,
    step_parser,
)
from brainit.data.nsd.nsdsynthetic import prepare_nsdsynthetic
from brainit.data.voxels import read_voxels


def main(argv: Sequence[str] | None = None) -> None:
    """Write betas, trials, images and classes of `--subject` below `--out`."""
    parser = step_parser("prepare_nsdsynthetic", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--source", required=True, help="NSD's root: https://, s3:// or a folder")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table of the subject")
    parser.add_argument("--work", type=Path, required=True, help="folder of files while needed")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    add_connections_flag(parser)
    args = parser.parse_args(argv)
    settings = read_fetching_settings(args)
    prepare_nsdsynthetic(
        args.subject,
        args.source,
        read_voxels(args.voxels),
        args.work,
        settings.nsd,
        settings.images,
        args.out,
    )


if __name__ == "__main__":
    run_step("prepare_nsdsynthetic", main, output="--out")
