"""Fetch and verify what is needed of NSD but betas and stimuli (paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import (
    add_connections_flag,
    read_fetching_settings,
    run_step,
    step_parser,
)
from brainit.data.nsd.download import download


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch NSD's tree to `--out`; write the manifest."""
    parser = step_parser("download", __doc__)
    parser.add_argument("--source", required=True, help="NSD's root: https://, s3:// or a folder")
    parser.add_argument("--out", type=Path, required=True, help="root of the fetched tree")
    parser.add_argument("--work", type=Path, required=True, help="folder of files until all came")
    parser.add_argument("--manifest", type=Path, required=True, help="list of files (.json)")
    add_connections_flag(parser)
    args = parser.parse_args(argv)
    download(args.source, read_fetching_settings(args).nsd, args.out, args.work, args.manifest)


if __name__ == "__main__":
    run_step("download", main, output="--out")
