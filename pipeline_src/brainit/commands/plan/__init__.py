"""`brainit plan [TARGET]`: jobs, downloads, disk and GPU hours of a target, before it starts.

The jobs come from a dry run of the same target and configuration.
"""

import argparse
import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from brainit.commands.dry_run import running_dry_run

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("plan", help="jobs, downloads and disk of a target, beforehand")
    parser.add_argument("target", nargs="?", default="all", help="a target of the workflow")
    parser.add_argument("--configfile", nargs="*", type=Path, default=[], help="as for snakemake")
    parser.add_argument("--bandwidth", type=float, default=1000.0, help="Mbit/s of the network")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that work at once")
    parser.add_argument("--tflops", type=float, default=400.0, help="sustained TFLOP/s of one GPU")
    parser.add_argument("--json", action="store_true", help="write it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the plan. Raises `PipelineError` where Snakemake refuses target or configuration."""
    with running_dry_run(args.target, args.configfile) as jobs_of_it:
        # A second of imports, while Snakemake makes its own.
        contents = import_module("brainit.commands.plan.contents")
        settings = contents.read_configuration([contents.BASE_CONFIG, *args.configfile])
        jobs = jobs_of_it()
    plan = contents.make_plan(settings, jobs, args.bandwidth, args.gpus)
    plan |= contents.gpu_plan(settings, jobs, args.gpus, args.tflops)
    plan["savings"] = contents.saved(settings, jobs, args.tflops)
    if args.json:
        sys.stdout.write(json.dumps(plan, indent=1) + "\n")
        return
    for line in contents.as_lines(args.target, plan):
        logger.info("%s", line)
