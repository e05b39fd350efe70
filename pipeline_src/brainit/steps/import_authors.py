"""Fetch the authors' published checkpoints and write them as this pipeline's files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.models.authors.convert import AuthorsSizes, all_subjects, import_authors
from brainit.models.authors.fetch import fetch_authors


@dataclass(frozen=True)
class Flags:
    """Folders of the step."""

    checkpoints: Path
    """Folder to fetch into."""
    out: Path
    """Folder of the models."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "import_authors", __doc__, Flags)
    fetch_authors(flags.checkpoints)
    sizes = AuthorsSizes(bit=settings.bit, encoder=settings.encoder)
    import_authors(flags.checkpoints, flags.out, all_subjects(), sizes)


if __name__ == "__main__":
    run_step("import_authors", main)
