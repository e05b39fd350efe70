"""`brainit seeds RESULTS ...`: join results of one configuration with several seeds.

Writes scores.csv, verdicts.csv and seeds.md. A claim about the method needs at least three seeds.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.core.artifacts import write_table
from brainit.core.files import write_text

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("seeds", help="join results of several seeds, with verdicts")
    parser.add_argument("results", type=Path, nargs="+", help="folders of finished results")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the tables and log how many claims hold; raise `PipelineError` for unlike results."""
    from brainit.evaluation.across_seeds import (
        LEAST_BRAINS,
        TOO_FEW,
        as_markdown,
        join_seeds,
        read_brain,
    )

    scores, checks = join_seeds(args.results)
    args.out.mkdir(parents=True, exist_ok=True)
    write_table(args.out / "scores.csv", scores)
    write_table(args.out / "verdicts.csv", checks)
    seeds = sorted(read_brain(root).seed for root in args.results)
    write_text(args.out / "seeds.md", as_markdown(scores, checks, seeds))
    counts = checks["verdict"].value_counts().to_dict()
    logger.info("%s", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if len(seeds) < LEAST_BRAINS:
        logger.info("undecided: %s", TOO_FEW)
    logger.info("%s", args.out / "seeds.md")
