"""Fetch and verify NSD's stimuli and COCO's unlabelled images (paper 5.1, D)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import (
    add_connections_flag,
    read_fetching_settings,
    run_step,
    step_parser,
)
from brainit.data.nsd.download import download_images


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch both files, then write the manifest."""
    parser = step_parser("download_images", __doc__)
    parser.add_argument("--source", required=True, help="NSD's root: https://, s3:// or a folder")
    parser.add_argument("--coco-source", required=True, help="folder or address of COCO's archive")
    parser.add_argument("--stimuli", type=Path, required=True, help="nsd_stimuli.hdf5 to write")
    parser.add_argument("--coco", type=Path, required=True, help="unlabeled2017.zip to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of files until all came")
    parser.add_argument("--manifest", type=Path, required=True, help="list of files (.json)")
    add_connections_flag(parser)
    args = parser.parse_args(argv)
    nsd = read_fetching_settings(args).nsd
    download_images(
        args.source, args.coco_source, nsd, args.stimuli, args.coco, args.work, args.manifest
    )


if __name__ == "__main__":
    run_step("download_images", main)
