"""`brainit models push FOLDER USER/NAME`: publish exported models on the Hugging Face hub.

FOLDER is one that `brainit export-models` wrote. `brainit.load_models("USER/NAME")` reads them.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.commands.export_models import read_model_attributes
from brainit.models.published import push_models

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("models", help="publish exported models on the hub")
    actions = parser.add_subparsers(dest="action", required=True)
    push = actions.add_parser("push", help="upload a folder that export-models wrote")
    push.add_argument("folder", type=Path, help="folder of `brainit export-models`")
    push.add_argument("repository", help="USER/NAME on the hub; made if it does not exist")
    push.add_argument("--private", action="store_true", help="make a private repository")
    push.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check and upload the models; raise `PipelineError` where they are faulty or refused."""
    read_model_attributes(args.folder)
    logger.info("%s", push_models(args.folder, args.repository, private=args.private))
