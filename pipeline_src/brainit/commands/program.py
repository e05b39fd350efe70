"""Commands around the Brain-IT workflow; `snakemake` runs the workflow itself."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from brainit.core.cli import guarded

COMMANDS = (
    "schema",
    "measure",
    "costs",
    "plan",
    "rehearse",
    "status",
    "weights",
    "doctor",
    "export-models",
    "export-maps",
    "models",
    "check-subject",
    "import-subject",
    "import-authors",
    "seeds",
    "imagery-table",
)
"""The sub-commands; each is a module of this folder."""


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of a sub-command alone, so that others' imports take no time, or of all."""
    parser = argparse.ArgumentParser(prog="brainit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in [command] if command in COMMANDS else COMMANDS:
        import_module(f"brainit.commands.{name.replace('-', '_')}").add_parser(commands)
    return parser


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and call the chosen sub-command."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(*words[:1]).parse_args(words)
    args.run(args)


def main() -> None:
    """Run the program; a `PipelineError` is printed on one line and gives exit code 2."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    sys.exit(guarded(run))
