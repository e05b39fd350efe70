"""Fetch and verify NSD's files except betas and stimuli (paper 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import (
    add_connections_flag,
    from_args,
    read_fetching_settings,
    run_step,
    step_parser,
)
from brainit.data.nsd.download import download


@dataclass(frozen=True)
class Flags:
    """Where NSD is, and where it goes."""

    source: str
    """NSD's root: https://, s3:// or a folder."""
    out: Path
    """Root of the fetched tree."""
    work: Path
    """Folder of files until all have come."""
    manifest: Path
    """List of files (.json)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch NSD's tree to `--out`; write the manifest."""
    parser = step_parser("download", __doc__, Flags)
    add_connections_flag(parser)
    args = parser.parse_args(argv)
    flags, settings = from_args(Flags, args), read_fetching_settings(args)
    download(flags.source, settings.nsd, flags.out, flags.work, flags.manifest)


if __name__ == "__main__":
    run_step("download", main, output="--out")
