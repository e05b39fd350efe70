"""Fetch and verify NSD's files except betas and stimuli (paper 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import Connections, parse_flags, run_step
from brainit.data.nsd.download import Fetching, download


@dataclass(frozen=True)
class Flags(Fetching):
    """Where NSD is, and where it goes."""

    out: Path
    """Root of the fetched tree."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch NSD's tree to `--out`; write the manifest."""
    flags, settings = parse_flags(argv, "download", __doc__, Flags, Connections)
    download(flags.source, settings.nsd, flags.out, flags.work, flags.manifest)


if __name__ == "__main__":
    run_step("download", main, output="--out")
