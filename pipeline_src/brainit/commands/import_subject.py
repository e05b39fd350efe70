"""`brainit import-subject FORMAT SRC DIR`: convert a published data set to the lab layout."""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.data.lab.bold5000 import import_bold5000
from brainit.data.lab.check import require_valid
from brainit.data.lab.god import import_god
from brainit.data.lab.miyawaki import import_miyawaki

logger = logging.getLogger(__name__)

FORMATS = ("bold5000", "god", "miyawaki2008")


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser(
        "import-subject", help="convert a subject of a published data set to the lab layout"
    )
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("source", type=Path, help="file (god, miyawaki2008) or folder (bold5000)")
    parser.add_argument("folder", type=Path, help="folder to write; must not exist")
    parser.add_argument("--subject", default="CSI1", help="bold5000: CSI1 to CSI4 (default CSI1)")
    parser.add_argument("--images", type=Path, help="god: folder of the stimulus images")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder and check it; raise `PipelineError` if the source has another format."""
    if args.format == "bold5000":
        import_bold5000(args.source, args.subject, args.folder)
    elif args.format == "miyawaki2008":
        import_miyawaki(args.source, args.folder)
    elif args.images is None:
        raise PipelineError(
            "--images",
            "the folder of the stimulus images",
            "nothing",
            "add --images FOLDER, with the images of the god data set",
            code="invalid-argument",
        )
    else:
        import_god(args.source, args.images, args.folder)
    require_valid(args.folder)
    logger.info("%s: written and valid", args.folder)
