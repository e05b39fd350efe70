"""`brainit check-subject DIR`: list every fault of a lab subject's folder, or its counts."""

import argparse
import logging
import math
from pathlib import Path
from typing import Any

from brainit.data.lab import layout as lab_layout
from brainit.data.lab.check import require_valid, used_columns
from brainit.data.lab.layout import split_of_trials

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("check-subject", help="check a folder with a subject of your own")
    parser.add_argument("folder", type=Path, help="folder in the layout of config/lab_subject.md")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Log the counts of a valid folder; raise `PipelineError` that lists every fault."""
    require_valid(args.folder)
    betas = lab_layout.open_betas(args.folder)
    table = lab_layout.read_trials(args.folder)
    n_voxels = used_columns(betas.shape[1], lab_layout.read_voxels(args.folder)).sum()
    trials = split_of_trials(table).value_counts().to_dict()
    n_images, n_sessions = table["image"].nunique(), table["session"].nunique()
    logger.info("%s: valid", args.folder)
    logger.info("%d sessions, %d images, %d voxels", n_sessions, n_images, n_voxels)
    seconds = lab_layout.seconds_of_trial(lab_layout.read_about(args.folder))
    if seconds is not None:
        how = f"by trials of {seconds:g} s" if math.isfinite(seconds) else "by trials alone"
        logger.info("amounts of data such as 1h and 15min: %s", how)
    logger.info("trials: %s", ", ".join(f"{count} {name}" for name, count in trials.items()))
