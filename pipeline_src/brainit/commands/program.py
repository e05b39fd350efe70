"""Commands around the Brain-IT workflow; `snakemake` runs the workflow itself."""

import argparse
import logging
import sys
from collections.abc import Sequence

from brainit.commands import (
    check_subject,
    doctor,
    export_maps,
    export_models,
    import_authors,
    import_subject,
    measure,
    models,
    plan,
    schema,
    seeds,
    status,
    weights,
)
from brainit.core.cli import guarded


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="brainit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    schema.add_parser(commands)
    measure.add_parser(commands)
    plan.add_parser(commands)
    status.add_parser(commands)
    weights.add_parser(commands)
    doctor.add_parser(commands)
    export_models.add_parser(commands)
    export_maps.add_parser(commands)
    models.add_parser(commands)
    check_subject.add_parser(commands)
    import_subject.add_parser(commands)
    import_authors.add_parser(commands)
    seeds.add_parser(commands)
    return parser


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and call the chosen sub-command."""
    args = build_parser().parse_args(argv)
    args.run(args)


def main() -> None:
    """Run the program; a `PipelineError` is printed on one line and gives exit code 2."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    sys.exit(guarded(run))
