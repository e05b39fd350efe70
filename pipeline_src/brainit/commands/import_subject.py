"""`brainit import-subject FORMAT SRC DIR`: convert a published data set to the lab layout."""

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import Any

from brainit.commands import import_open
from brainit.core.errors import PipelineError
from brainit.data.lab.bold5000 import import_bold5000
from brainit.data.lab.check import require_valid
from brainit.data.lab.god import import_god
from brainit.data.lab.miyawaki import import_miyawaki

logger = logging.getLogger(__name__)

FORMATS = ("bold5000", "god", "miyawaki2008", *import_open.FORMATS)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser(
        "import-subject", help="convert a subject of a published data set to the lab layout"
    )
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("source", help="file or folder of the data set; laion: s3://laion-fmri")
    parser.add_argument("folder", type=Path, help="folder to write; must not exist")
    parser.add_argument(
        "--subject", help="bold5000: CSI1 to CSI4 (default CSI1); laion, mosaic: sub-01 (default)"
    )
    parser.add_argument("--images", type=Path, help="god: folder of images; laion: their file")
    import_open.add_flags(parser)
    parser.set_defaults(run=partial(run, parser))


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Write the folder and check it, or print its plan.

    Raises `PipelineError` where the source has another format, and for a flag without effect.
    """
    import_open.require_used(parser, args)
    if args.plan:
        import_open.show_plan(args)
        return
    source = Path(args.source)
    if args.format in import_open.FORMATS:
        import_open.run(args)
    elif args.format == "bold5000":
        import_bold5000(source, args.subject or "CSI1", args.folder)
    elif args.format == "miyawaki2008":
        import_miyawaki(source, args.folder)
    elif args.images is None:
        raise PipelineError(
            "--images",
            "the folder of the stimulus images",
            "nothing",
            "add --images FOLDER, with the images of the god data set",
            code="invalid-argument",
        )
    else:
        import_god(source, args.images, args.folder)
    require_valid(args.folder)
    logger.info("%s: written and valid", args.folder)
