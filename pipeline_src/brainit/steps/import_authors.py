"""Fetch the authors' published checkpoints and write them as this pipeline's files."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.models.authors.convert import AuthorsSizes, all_subjects, import_authors
from brainit.models.authors.fetch import fetch_authors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("import_authors", __doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder to fetch into")
    parser.add_argument("--out", type=Path, required=True, help="folder of the models")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    fetch_authors(args.checkpoints)
    sizes = AuthorsSizes(bit=settings.bit, encoder=settings.encoder)
    import_authors(args.checkpoints, args.out, all_subjects(), sizes)


if __name__ == "__main__":
    run_step("import_authors", main)
