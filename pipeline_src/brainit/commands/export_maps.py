"""`brainit export-maps RESULTS --out FOLDER`: maps of voxels for any viewer of brains.

GIFTI and CIFTI of voxels on a surface, NIfTI of voxels in a volume: noise ceiling, clusters with
their table of labels, encoder accuracy, attention.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.core.cli import named_paths

logger = logging.getLogger(__name__)

_MAPS = ("noise_ceiling", "clusters", "encoder_accuracy", "attention")
_FORMATS = ("gifti", "cifti", "nifti")
_SURFACES = ("fsaverage", "fsaverage6", "fsaverage5", "fsaverage4")


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("export-maps", help="write maps as GIFTI, CIFTI or NIfTI")
    parser.add_argument("results", type=Path, help="folder of results, such as results/demo")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--subjects", nargs="+", default=[], help="default: those with a run")
    parser.add_argument("--maps", nargs="+", choices=_MAPS, default=list(_MAPS))
    parser.add_argument(
        "--formats", nargs="+", choices=_FORMATS, default=[], help="default: all of the space"
    )
    parser.add_argument(
        "--models", type=Path, help="folder with encoder, clusters, joint (default: pool all's)"
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        default=[],
        metavar="SUBJECT=FILE",
        help="NIfTI file in the space of a subject's volume (default: NSD's mask)",
    )
    parser.add_argument("--space", choices=_SURFACES, help="surface of a lab's own vertices")
    parser.add_argument("--weights", type=Path, help="folder of the published networks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the maps and log the files; raise `PipelineError` where an input is missing."""
    from brainit.maps.export import MapChoice, export_maps

    choice = MapChoice(
        maps=args.maps,
        formats=args.formats,
        models=args.models,
        references=named_paths(args.reference),
        space=args.space,
        weights_dir=args.weights,
    )
    for path in export_maps(args.results, args.subjects, args.out, choice):
        logger.info("%s", path)
