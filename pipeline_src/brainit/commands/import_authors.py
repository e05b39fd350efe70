"""`brainit import-authors FOLDER`: convert the authors' checkpoints to this pipeline's files."""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.models.authors.convert import N_VOXELS, import_authors, subjects_of_indices

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("import-authors", help="convert the authors' checkpoints")
    parser.add_argument("folder", type=Path, help="folder with the authors' files")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; use it as `models: FOLDER`"
    )
    parser.add_argument(
        "--subjects",
        type=int,
        nargs="+",
        default=list(range(1, 9)),
        help="the authors' numbers of the subjects in the files, in order (default: all eight)",
    )
    parser.add_argument(
        "--first-subject", type=int, choices=(0, 1), help="the authors' number of subj01"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Convert the files in the folder and log each file that is written."""
    subjects = subjects_of_indices(args.subjects, args.first_subject)
    n_voxels = {name: N_VOXELS[int(name[-1]) - 1] for name in subjects}
    for path in import_authors(args.folder, args.out, n_voxels):
        logger.info("wrote %s", path)
